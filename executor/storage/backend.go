package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The names of the backends in the configuration.
const (
	Auto    = "auto" // the best backend that works here
	XFSLoop = "xfs-loop"
	Plain   = "volume"
	Tmpfs   = "tmpfs"
)

// Backend makes the storage of jobs' volumes. It returns how the engine has to make the volume,
// and makes nothing on the engine itself, so that a backend for a remote engine is possible. It
// is safe for concurrent use.
type Backend interface {
	Name() string
	// Pool is the source of the volumes' blocks; ok is false if it cannot be seen from
	// here, for example on a remote engine.
	Pool() (p Pool, ok bool, err error)
	// Hard reports whether volumes have their own file system, which enforces the limit.
	Hard() bool
	// Make makes the storage of one volume. The kernel frees it when this process ends,
	// unless a container uses the volume by then.
	Make(ctx context.Context, r Request) (*Volume, error)
}

// Request describes one job's volume.
type Request struct {
	Folder string // the job's folder on the host
	Size   int64  // bytes
	// Image is the path of the volume's disk image, for a volume that outlives the job. It is made if it
	// does not exist. Empty: the volume ends with the job. Only xfs-loop has images.
	Image string
}

// Volume describes a volume for the engine.
type Volume struct {
	// Options are for the engine's local driver; empty for a plain folder.
	Options map[string]string
	// Image identifies the image file of the volume, if there is one.
	Image Image
	// Grow is true if the file system is smaller than its image: see Grow.
	Grow bool

	release func() error
}

// Release releases the volume: from then on it exists as long as containers use it. It may be
// called more than once.
func (v *Volume) Release() error {
	if v.release == nil {
		return nil
	}
	release := v.release
	v.release = nil
	return release()
}

// Host is the input for the choice of a backend.
type Host struct {
	// Folder is the folder for file system images on this machine.
	Folder string
	// Volumes is the engine's folder of volumes; empty if the engine runs on another machine
	// or in another file system.
	Volumes string
}

// Choose returns the backend with the wanted name, or for Auto the best that works here, and
// a short reason.
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
			return b, "best available", nil
		}
		if h.Volumes != "" && SharesBlocks(h.Volumes) == nil {
			return plain{h.Volumes}, fmt.Sprintf("on a file system that shares blocks, but without a limit; no xfs-loop: %v", err), nil
		}
		return plain{h.Volumes}, fmt.Sprintf("slow with vfs and without a limit; no xfs-loop: %v", err), nil
	}
	return nil, "", fmt.Errorf("storage.backend %q is unknown", want)
}

// plain is a folder of the engine.
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

// tmpfs keeps everything in memory, which counts as the container's memory.
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
	return Pool{}, false, errors.New("/proc/meminfo has no MemAvailable")
}

func (tmpfs) Make(_ context.Context, r Request) (*Volume, error) {
	return &Volume{Options: map[string]string{
		"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%d,mode=0755", r.Size),
	}}, nil
}
