package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The names of the backends, as the configuration has them.
const (
	Auto    = "auto" // the best of the others that works here
	XFSLoop = "xfs-loop"
	Plain   = "volume"
	Tmpfs   = "tmpfs"
)

// Backend makes what jobs' storage volumes consist of. It says how the engine is
// to make the volume, and makes nothing in the engine itself, so that one for a
// remote engine fits in as well. It is for use by several goroutines at once.
type Backend interface {
	Name() string
	// Pool is where the volumes' blocks come from; ok is false where nobody here
	// can tell, as on a remote engine.
	Pool() (p Pool, ok bool, err error)
	// Hard tells that a volume has a file system of its own, which keeps the job
	// within the limit.
	Hard() bool
	// Make makes what one volume consists of. Nothing of it outlives this process
	// unless a container uses the volume by then.
	Make(ctx context.Context, r Request) (*Volume, error)
}

// Request is what is asked of a backend for one job.
type Request struct {
	Folder string // of the job's own on the host
	Size   int64  // bytes
}

// Volume is what the engine needs to know of a volume.
type Volume struct {
	// Options are for the engine's local driver; none make a plain folder.
	Options map[string]string
	// Image identifies the file behind the volume, where there is one.
	Image FileID

	release func() error
}

// Release lets go of the volume: from here on it lives as long as containers use
// it. It may be called again.
func (v *Volume) Release() error {
	if v.release == nil {
		return nil
	}
	release := v.release
	v.release = nil
	return release()
}

// Host is what the choice of a backend depends on.
type Host struct {
	// Folder is where images of file systems are kept, on this machine.
	Folder string
	// Volumes is the engine's folder of volumes; empty when the engine runs on
	// another machine, or sees other files than we do.
	Volumes string
}

// Choose gives the backend of the wanted name, or for Auto the best that works
// here, and in a few words why it is that one.
func Choose(want string, h Host) (b Backend, why string, err error) {
	switch want {
	case XFSLoop:
		if b, err = newXFSLoop(h); err != nil {
			return nil, "", fmt.Errorf("storage.backend %q does not work here: %w", want, err)
		}
		return b, "as configured", nil
	case Tmpfs:
		return tmpfs{local: h.Volumes != ""}, "as configured", nil
	case Plain:
		return plain{h.Volumes}, "as configured", nil
	case Auto:
		b, err := newXFSLoop(h)
		if err == nil {
			return b, "the best there is", nil
		}
		if h.Volumes != "" && sharesBlocks(h.Volumes) == nil {
			return plain{h.Volumes}, fmt.Sprintf("on a file system that shares blocks, but without a limit; no xfs-loop: %v", err), nil
		}
		return plain{h.Volumes}, fmt.Sprintf("slow with vfs and without a limit; no xfs-loop: %v", err), nil
	}
	return nil, "", fmt.Errorf("storage.backend %q is unknown", want)
}

// plain is a folder of the engine's.
type plain struct{ volumes string }

func (plain) Name() string { return Plain }
func (plain) Hard() bool   { return false }

func (p plain) Pool() (Pool, bool, error) {
	if p.volumes == "" {
		return Pool{}, false, nil
	}
	pool, err := DiskPool(p.volumes)
	return pool, err == nil, err
}

func (plain) Make(context.Context, Request) (*Volume, error) { return &Volume{}, nil }

// tmpfs keeps everything in memory, which counts as the container's.
type tmpfs struct{ local bool }

func (tmpfs) Name() string { return Tmpfs }
func (tmpfs) Hard() bool   { return true }

func (t tmpfs) Pool() (Pool, bool, error) {
	if !t.local {
		return Pool{}, false, nil
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Pool{}, false, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return Pool{ID: "memory", Name: "memory", Free: kib << 10}, true, nil
		}
	}
	return Pool{}, false, errors.New("/proc/meminfo does not tell how much memory is available")
}

func (tmpfs) Make(_ context.Context, r Request) (*Volume, error) {
	return &Volume{Options: map[string]string{
		"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%d,mode=0755", r.Size),
	}}, nil
}
