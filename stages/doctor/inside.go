package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
)

// inside is what a trial job finds in its container.
type inside struct {
	// Overlay and VFS are why a storage driver does not work on the storage volume; empty if it does.
	Overlay string `json:"overlay,omitempty"`
	VFS     string `json:"vfs,omitempty"`
	// Shares reports whether copies share blocks.
	Shares bool `json:"shares"`
	// Driver is the storage driver that the environment names.
	Driver string `json:"driver"`
	// Temp is why TMPDIR does not work; empty if it does.
	Temp string `json:"temp,omitempty"`
}

// lookInside runs the trials on the storage volume mounted at volume.
func lookInside(volume string, environ func(string) string) inside {
	i := inside{Driver: environ("STORAGE_DRIVER")}
	if err := agent.ProbeOverlay(volume); err != nil {
		i.Overlay = err.Error()
	}
	var err error
	if i.Shares, err = probeVFS(volume); err != nil {
		i.VFS = err.Error()
	}
	if f, err := os.CreateTemp(environ("TMPDIR"), "doctor-"); err != nil {
		i.Temp = err.Error()
	} else {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
		if err != nil {
			i.Temp = err.Error()
		}
	}
	return i
}

// Of the file that a layer of the trial contains: an owner other than root, and its size in bytes.
const (
	layerOwner = 1000
	layerSize  = 1 << 20
)

// probeVFS does in dir what the storage driver vfs does for each layer: it copies a tree with owners,
// modes, links and attributes (containers/storage, drivers/vfs/driver.go and drivers/copy/copy_linux.go),
// and changes the copy. It leaves no files behind.
func probeVFS(dir string) (shares bool, err error) {
	top, err := os.MkdirTemp(dir, ".vfs-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	lower, upper := filepath.Join(top, "lower"), filepath.Join(top, "upper")
	content := bytes.Repeat([]byte("layer\n"), layerSize/6)
	if err := makeLayer(lower, content); err != nil {
		return false, fmt.Errorf("making a layer: %w", err)
	}
	if shares, err = copyLayer(lower, upper); err != nil {
		return shares, fmt.Errorf("copying a layer: %w", err)
	}
	// Before the change: a write by a container's root clears the set-user-ID bit.
	if err := compareLayers(lower, upper); err != nil {
		return shares, err
	}
	f, err := os.OpenFile(filepath.Join(upper, "file"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return shares, err
	}
	_, err = f.WriteString("changed")
	if err := errors.Join(err, f.Close()); err != nil {
		return shares, fmt.Errorf("changing a file of the copy: %w", err)
	}
	if text, err := os.ReadFile(filepath.Join(lower, "file")); err != nil || !bytes.Equal(text, content) {
		return shares, fmt.Errorf("a change of the copy changed the layer below it (%v)", err)
	}
	return shares, nil
}

func makeLayer(dir string, content []byte) error {
	file := filepath.Join(dir, "file")
	for _, do := range []func() error{
		func() error { return os.MkdirAll(filepath.Join(dir, "folder"), 0o750) },
		func() error { return os.WriteFile(file, content, 0o644) },
		func() error { return os.Chown(file, layerOwner, layerOwner) },
		func() error { return os.Chmod(file, 0o755|fs.ModeSetuid) },
		func() error { return unix.Setxattr(file, "user.gsx", []byte("1"), 0) },
		func() error { return os.Link(file, filepath.Join(dir, "folder", "hard")) },
		func() error { return os.Symlink("../file", filepath.Join(dir, "folder", "symbolic")) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// copyLayer copies a layer that makeLayer made.
func copyLayer(from, to string) (shares bool, err error) {
	if err := os.MkdirAll(filepath.Join(to, "folder"), 0o750); err != nil {
		return false, err
	}
	source, err := os.Open(filepath.Join(from, "file"))
	if err != nil {
		return false, err
	}
	defer source.Close()
	target, err := os.Create(filepath.Join(to, "file"))
	if err != nil {
		return false, err
	}
	defer target.Close()
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		shares = true
	} else if _, err := io.Copy(target, source); err != nil {
		return false, err
	}
	for _, do := range []func() error{
		func() error { return target.Chown(layerOwner, layerOwner) },
		func() error { return target.Chmod(0o755 | fs.ModeSetuid) },
		func() error { return unix.Fsetxattr(int(target.Fd()), "user.gsx", []byte("1"), 0) },
		func() error { return os.Link(target.Name(), filepath.Join(to, "folder", "hard")) },
		func() error { return os.Symlink("../file", filepath.Join(to, "folder", "symbolic")) },
	} {
		if err := do(); err != nil {
			return shares, err
		}
	}
	return shares, nil
}

// compareLayers compares what a build depends on.
func compareLayers(lower, upper string) error {
	for _, name := range []string{"file", "folder", "folder/hard", "folder/symbolic"} {
		a, err := os.Lstat(filepath.Join(lower, name))
		if err != nil {
			return err
		}
		b, err := os.Lstat(filepath.Join(upper, name))
		if err != nil {
			return err
		}
		x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
		if a.Mode() != b.Mode() || x.Uid != y.Uid || x.Gid != y.Gid || x.Nlink != y.Nlink {
			return fmt.Errorf("%s has another mode, owner or number of links in the copy: %s %d, then %s %d", name, a.Mode(), x.Uid, b.Mode(), y.Uid)
		}
	}
	return nil
}

// last is the last line of an output.
func last(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}
