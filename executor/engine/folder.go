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
	var err error
	for range folderTries {
		// Error processing tar file(exit status 1): mkdir /x: file exists
		// The engine looks, then makes it. On a volume that several containers share,
		// another one's may come in between; the next look finds it.
		err = e.client.CopyToContainer(ctx, id, "/", bytes.NewReader(b.Bytes()), container.CopyToContainerOptions{})
		if err == nil || !strings.Contains(err.Error(), "file exists") {
			break
		}
	}
	return e.wrap("making folder "+path+" in container "+id, err)
}

// folderTries bounds how often: a folder with parents may be raced for at each of them.
const folderTries = 10
