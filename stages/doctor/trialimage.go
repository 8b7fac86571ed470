package doctor

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/statedir"
)

// imageName is the name of the trial image. Its tag is the state folder's ID, so that two
// installations on one engine do not remove each other's image.
const imageName = "gitlab-sysbox-executor-doctor"

// makeImage imports the trial image: this program alone, on top of nothing. No registry is needed.
// An image of a doctor that was killed is replaced. The caller holds the lock of doctors.
func makeImage(ctx context.Context, e *engine.Engine, dir statedir.Dir) (ref string, remove func() error, err error) {
	ref = trialImage(dir)
	remove = func() error { return removeImage(context.WithoutCancel(ctx), e, ref) }
	if err := remove(); engine.IsConflict(err) {
		return "", nil, fmt.Errorf("a job of a doctor that was killed still uses the trial image; `gitlab-sysbox-executor gc` removes that job: %w", err)
	} else if err != nil {
		return "", nil, err
	}
	program, err := os.Open(containerdir.Self)
	if err != nil {
		return "", nil, err
	}
	defer program.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeImage(w, program)) }()
	defer r.Close() // otherwise the goroutine would wait for a reader
	if _, err := e.ImportImage(ctx, ref, r); err != nil {
		return "", nil, err
	}
	return ref, remove, nil
}

func trialImage(dir statedir.Dir) string { return imageName + ":" + dir.ID() }

// dropImage removes the trial image of a doctor that was killed.
func dropImage(ctx context.Context, e *engine.Engine, dir statedir.Dir) error {
	unlock, err := dir.LockDoctor(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return removeImage(ctx, e, trialImage(dir))
}

func removeImage(ctx context.Context, e *engine.Engine, ref string) error {
	if err := e.RemoveImage(ctx, ref); err != nil && !engine.IsNotFound(err) {
		return err
	}
	return nil
}

// writeImage writes the image's root file system.
func writeImage(to io.Writer, program *os.File) error {
	info, err := program.Stat()
	if err != nil {
		return err
	}
	w := tar.NewWriter(to)
	name := func(path string) string { return strings.TrimPrefix(path, "/") }
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeReg, Name: name(trialProgram), Mode: 0o755, Size: info.Size()},
		{Typeflag: tar.TypeLink, Name: name(trialShell), Linkname: name(trialProgram), Mode: 0o755},
	} {
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.Copy(w, program); err != nil {
				return fmt.Errorf("reading this program: %w", err)
			}
		}
	}
	return w.Close()
}
