// Package containerdir creates host folders that containers can see.
//
// The folder and its files are always new: nothing is replaced, and no symbolic link leads
// out of it. So a container that can write to the folder cannot make a process of the host
// write elsewhere. No file is a hard link to a host file: a container that gets around its
// read-only mount changes only its own copy.
package containerdir

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Self is the executable of this process, even if its file was replaced.
const Self = "/proc/self/exe"

// Dir is a host folder for containers. Its methods may be called concurrently.
type Dir struct {
	path string
	root *os.Root
}

// Make creates a folder that every user may read, because a container's root is an unprivileged
// user of the host. The parent has to exist, the folder must not.
func Make(path string) (*Dir, error) {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	name := filepath.Base(path)
	if err := parent.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, root: root}
	if err := root.Chmod(".", 0o755); err != nil { // independent of the umask
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the folder; it is not removed.
func (d *Dir) Close() error { return d.root.Close() }

// Mkdir creates a folder in d.
func (d *Dir) Mkdir(name string) error {
	if err := d.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return d.root.Chmod(name, 0o755)
}

// WriteFile creates a file with the given permissions, independent of the umask.
func (d *Dir) WriteFile(name string, text []byte, mode os.FileMode) error {
	return d.create(name, mode, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// CopyProgram copies an executable file of the host for all users. If the file system
// supports it, the copy shares the blocks.
func (d *Dir) CopyProgram(source, name string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	return d.create(name, 0o755, func(to *os.File) error {
		if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
			return nil
		}
		if _, err := io.Copy(to, from); err != nil { // in the kernel: copy_file_range(2)
			return fmt.Errorf("copying %s: %w", source, err)
		}
		return nil
	})
}

func (d *Dir) create(name string, mode os.FileMode, fill func(*os.File) error) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if err := fill(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
