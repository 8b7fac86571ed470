package agent

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Bind is a folder that is made visible at a second path.
type Bind struct {
	From string `json:"from"` // created if missing
	To   string `json:"to"`   // not mounted if the image has files there
}

// make mounts the folder. The mount is unmounted together with those of the job.
func (b Bind) make() error {
	free, err := vacant(b.To)
	if err != nil || !free {
		return err
	}
	// The mode that engines give such folders.
	if err := os.MkdirAll(b.From, 0o711); err != nil {
		return err
	}
	if err := os.MkdirAll(b.To, 0o711); err != nil {
		return err
	}
	return unix.Mount(b.From, b.To, "", unix.MS_BIND, "")
}

// vacant reports whether path is missing or an empty folder.
func vacant(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil || !info.IsDir() {
		return false, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	if _, err = dir.Readdirnames(1); errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
