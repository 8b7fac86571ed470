package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// HasPath tells whether there is anything at path in a container that need not be
// running.
func (e *Engine) HasPath(ctx context.Context, id, path string) (bool, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	_, err := e.client.ContainerStatPath(ctx, id, path)
	if err = e.wrap("looking for "+path+" in container "+id, err); IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// MakeFolder makes the folder path, with the permission bits and sticky bit of
// mode, in a container that need not be running. Parents that are missing are
// made; those that exist are left as they are.
func (e *Engine) MakeFolder(ctx context.Context, id, path string, mode int64) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(path, "/"), Mode: mode}); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return e.wrap("making folder "+path+" in container "+id,
		e.client.CopyToContainer(ctx, id, "/", &b, container.CopyToContainerOptions{}))
}
