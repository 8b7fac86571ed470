// Package containerdir makes the folders of the host that containers see.
//
// A folder is new when it is made, and what is put into it is new, too: nothing is
// replaced, and no symbolic link leads out of it. So a container that got at the
// folder, whatever it planted there, makes no process of the host write elsewhere.
// No file in it is a link to one of the host's: a container that got past its
// read-only mount changes its own copy.
package containerdir

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Self is the executable of this process, also when its file was replaced since.
const Self = "/proc/self/exe"

// Dir is such a folder. Its methods may be called concurrently.
type Dir struct {
	path string
	root *os.Root
}

// Make makes a folder that everybody may read: the root of a container is nobody
// on the host. Its parent has to be there, and the folder itself must not.
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
	if err := root.Chmod(".", 0o755); err != nil { // whatever the umask
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close ends the work with the folder, which stays.
func (d *Dir) Close() error { return d.root.Close() }

// Mkdir makes a folder in d.
func (d *Dir) Mkdir(name string) error {
	if err := d.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return d.root.Chmod(name, 0o755)
}

// WriteFile makes a file with the permissions given, whatever the umask.
func (d *Dir) WriteFile(name string, text []byte, mode os.FileMode) error {
	return d.create(name, mode, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// CopyProgram copies an executable file of the host, for everybody to run. Where the
// file system can, the copy shares its blocks until either is written.
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
