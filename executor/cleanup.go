package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/teardown"
)

// stopGrace is how long the processes in a container have to end on their own.
const stopGrace = 5 * time.Second

// Cleanup removes everything that the journal or the labels say is the job's. It
// may be called at any time and any number of times; what it could not remove is
// in its error and stays in the journal.
func (x *Executor) Cleanup(ctx context.Context, i Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	if err := os.MkdirAll(x.journals(), 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	unlock, err := x.lock(ctx, i)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := x.journal(i)
	if err != nil {
		return err
	}
	left, err := x.holdings(ctx, i, j)
	if err != nil {
		return err
	}
	// What uses a thing goes before it: containers, networks, volumes, folders.
	for _, kind := range journal.Kinds {
		if err := x.removeAll(ctx, j, kind, left[kind]); err != nil {
			return err
		}
	}
	return j.Forget()
}

// holding is a thing of the job's by the name that removes it, with its name in
// the journal.
type holding struct{ target, recorded string }

// holdings is what the journal and the labels say the job has. The engine is
// asked also for a job without a journal: it may have been lost.
func (x *Executor) holdings(ctx context.Context, i Identity, j *journal.Journal) (map[journal.Kind][]holding, error) {
	have := map[journal.Kind][]holding{}
	for kind, find := range map[journal.Kind]func(context.Context, string, string) ([]engine.Found, error){
		journal.Container: x.Engine.FindContainers,
		journal.Network:   x.Engine.FindNetworks,
		journal.Volume:    x.Engine.FindVolumes,
	} {
		found, err := find(ctx, LabelName, i.Name())
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			// By ID: the engine lets two networks bear one name.
			have[kind] = append(have[kind], holding{f.ID, f.Name})
		}
	}
	for _, r := range j.Resources() {
		if !slices.ContainsFunc(have[r.Kind], func(h holding) bool { return h.recorded == r.Name }) {
			have[r.Kind] = append(have[r.Kind], holding{r.Name, r.Name})
		}
	}
	folder := holding{x.folder(i), x.folder(i)}
	if _, err := os.Stat(folder.target); err == nil && !slices.Contains(have[journal.Folder], folder) {
		have[journal.Folder] = append(have[journal.Folder], folder)
	}
	return have, nil
}

func (x *Executor) removeAll(ctx context.Context, j *journal.Journal, kind journal.Kind, holdings []holding) error {
	var wg sync.WaitGroup
	failed := make([]error, len(holdings))
	for n, h := range holdings {
		wg.Go(func() {
			err := teardown.Retry(ctx, func(ctx context.Context) error { return x.remove(ctx, kind, h.target) })
			if err == nil {
				err = j.Strike(kind, h.recorded)
			}
			if err != nil {
				failed[n] = fmt.Errorf("%s %s is left: %w", kind, h.recorded, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func (x *Executor) remove(ctx context.Context, kind journal.Kind, target string) error {
	switch kind {
	case journal.Container:
		// The first process ends the others in an orderly way, as far as time allows.
		if err := x.Engine.StopContainer(ctx, target, stopGrace); err != nil && !engine.IsBusy(err) {
			return err
		}
		return x.Engine.RemoveContainer(ctx, target)
	case journal.Network:
		return x.Engine.RemoveNetwork(ctx, target)
	case journal.Volume:
		return x.Engine.RemoveVolume(ctx, target)
	case journal.Folder:
		if filepath.Dir(target) != filepath.Join(x.StateDir, "jobs") {
			return fmt.Errorf("not a job's folder")
		}
		return os.RemoveAll(target)
	}
	return fmt.Errorf("unknown kind %q", kind)
}
