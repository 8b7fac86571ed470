package executor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// placeAgent puts our own executable at path, readable for everyone.
func placeAgent(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return place(self, path)
}

// place puts the executable at source at path, for everyone to run. A link spares
// the copying and keeps the running version when the executable is replaced by a
// newer one.
func place(source, path string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	// A symbolic link would itself be linked, and leads nowhere in a container.
	real, err := filepath.EvalSymlinks(source)
	if err == nil && info.Mode().Perm()&0o555 == 0o555 && os.Link(real, path) == nil {
		return nil
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return fmt.Errorf("copying %s: %w", source, err)
	}
	if err := to.Chmod(0o755); err != nil { // whatever the umask
		to.Close()
		return err
	}
	return to.Close()
}
