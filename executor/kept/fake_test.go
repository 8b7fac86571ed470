package kept

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	cerrdefs "github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// volumes is an engine with volumes in a folder.
type volumes struct {
	dir      string
	labels   map[string]map[string]string // of volumes that are not builds
	users    map[string]bool
	sizes    map[string]int64        // the sizes that the engine reports
	creating func(name string) error // called before a volume is made
	// removed is called after a volume was removed.
	removed func(name string)
}

func (e *volumes) path(name string) string { return filepath.Join(e.dir, name, "_data") }

func (e *volumes) CreateVolume(_ context.Context, name string, _, labels map[string]string) error {
	if e.creating != nil {
		if err := e.creating(name); err != nil {
			return err
		}
	}
	if labels != nil {
		if e.labels == nil {
			e.labels = map[string]map[string]string{}
		}
		e.labels[name] = labels
	}
	return os.MkdirAll(e.path(name), 0o755)
}

func (e *volumes) FindVolume(_ context.Context, name string) (engine.Found, error) {
	if _, err := os.Stat(e.path(name)); err != nil {
		return engine.Found{}, fmt.Errorf("%w: %w", cerrdefs.ErrNotFound, err)
	}
	labels := map[string]string{job.LabelKept: Builds}
	maps.Copy(labels, e.labels[name])
	return engine.Found{Name: name, ID: name, Labels: labels, Paths: []string{e.path(name)}}, nil
}

func (e *volumes) FindVolumes(ctx context.Context, label, value string) (all []engine.Found, err error) {
	entries, err := os.ReadDir(e.dir)
	for _, entry := range entries {
		if f, err := e.FindVolume(ctx, entry.Name()); err == nil && (value == "" || f.Labels[label] == value) {
			all = append(all, f)
		}
	}
	return all, err
}

func (e *volumes) VolumeUsers(_ context.Context, name string) ([]engine.Found, error) {
	if e.users[name] {
		return []engine.Found{{ID: "0123"}}, nil
	}
	return nil, nil
}

func (e *volumes) VolumeSizes(context.Context) (map[string]int64, error) {
	return maps.Clone(e.sizes), nil
}

func (e *volumes) RemoveVolume(_ context.Context, name string) error {
	err := os.RemoveAll(filepath.Dir(e.path(name)))
	if e.removed != nil {
		e.removed(name)
	}
	return err
}
