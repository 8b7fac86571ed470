package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"

	"github.com/docker/docker/api/types/container"
)

// maxFile limits what ReadFile reads, in bytes. ReadFile is for small files such as
// /etc/passwd, and reads from all services of a job at once.
const maxFile = 64 << 10

// ReadFile reads a plain file in a container, which need not run. It returns nothing and
// no error if the path does not exist or is not a plain file.
func (e *Engine) ReadFile(ctx context.Context, id, file string) ([]byte, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	// Most images have no such file or an empty one, and the engine starts a process to pack one.
	stat, err := e.client.ContainerStatPath(ctx, id, file)
	if err = e.wrap("looking for "+file+" in container "+id, err); IsNotFound(err) || err == nil && (!stat.Mode.IsRegular() || stat.Size == 0) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	archive, _, err := e.client.CopyFromContainer(ctx, id, file)
	if err = e.wrap("reading "+file+" in container "+id, err); IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer archive.Close()
	text, err := fileIn(archive)
	if err != nil {
		return nil, fmt.Errorf("reading %s in container %s: %w", file, id, err)
	}
	return text, nil
}

// fileIn returns the content of the plain file at the start of an archive. It returns nil
// for another type of file, or for a file that is too large.
func fileIn(archive io.Reader) ([]byte, error) {
	r := tar.NewReader(archive)
	h, err := r.Next()
	if err != nil || h.Typeflag != tar.TypeReg || h.Size > maxFile {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, err
	}
	return text, nil
}

// WriteFile writes a file that belongs to the container's root and is readable for
// everyone. The container need not run. The folder must exist.
func (e *Engine) WriteFile(ctx context.Context, id, file string, text []byte) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Base(file), Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return e.wrap("writing "+file+" in container "+id,
		e.client.CopyToContainer(ctx, id, path.Dir(file), &b, container.CopyToContainerOptions{}))
}
