package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"
)

// Image is what we need to know of an image that the engine holds.
type Image struct {
	ID         string
	Digests    []string // name@sha256:...
	User       string
	WorkingDir string
	Entrypoint []string
	Cmd        []string
	Env        []string
	Labels     map[string]string
	Ports      []string // exposed, number/protocol
}

// InspectImage looks an image up in the engine's store; IsNotFound when it is not there.
func (e *Engine) InspectImage(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	i, err := e.client.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, e.wrap("looking up image "+ref, err)
	}
	found := Image{ID: i.ID, Digests: i.RepoDigests}
	if c := i.Config; c != nil {
		found.User, found.WorkingDir = c.User, c.WorkingDir
		for port := range c.ExposedPorts {
			found.Ports = append(found.Ports, port)
		}
		found.Entrypoint, found.Cmd, found.Env, found.Labels = c.Entrypoint, c.Cmd, c.Env, c.Labels
	}
	return found, nil
}

// Progress is one report on one layer of a pull. Sizes are bytes.
type Progress struct {
	Layer          string
	Status         string
	Current, Total int64
}

// Pull pulls an image and hands every report to progress. Auth is the engine's
// encoded credential, or empty. It ends only with ctx or the pull itself.
func (e *Engine) Pull(ctx context.Context, ref, platform, auth string, progress func(Progress)) error {
	r, err := e.client.ImagePull(ctx, ref, image.PullOptions{Platform: platform, RegistryAuth: auth})
	if err != nil {
		return e.wrap("pulling image "+ref, err)
	}
	defer r.Close()
	d := json.NewDecoder(r)
	for {
		var m jsonmessage.JSONMessage
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return e.wrap("pulling image "+ref, fmt.Errorf("reading the engine's progress: %w", err))
		}
		if m.Error != nil {
			return e.wrap("pulling image "+ref, m.Error)
		}
		p := Progress{Layer: m.ID, Status: m.Status}
		if m.Progress != nil {
			p.Current, p.Total = m.Progress.Current, m.Progress.Total
		}
		progress(p)
	}
}
