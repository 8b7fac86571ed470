package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// HasPath reports whether path exists in a container, which need not run.
func (e *Engine) HasPath(ctx context.Context, id, path string) (bool, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	_, err := e.client.ContainerStatPath(ctx, id, path)
	if err = e.wrap("looking for "+path+" in container "+id, err); IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// MakeFolder makes the folder path in a container, which need not run. Mode has the
// permission bits and the sticky bit. Missing parents are made; existing parents are not
// changed.
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
	var err error
	for range folderTries {
		// Error processing tar file(exit status 1): mkdir /x: file exists
		// The engine checks whether the folder exists, then makes it. On a shared volume
		// another container may make it in between; the next attempt finds it.
		err = e.client.CopyToContainer(ctx, id, "/", bytes.NewReader(b.Bytes()), container.CopyToContainerOptions{})
		if err == nil || !strings.Contains(err.Error(), "file exists") {
			break
		}
	}
	return e.wrap("making folder "+path+" in container "+id, err)
}

// folderTries limits the attempts. There may be a race for each of the folder's parents.
const folderTries = 10
