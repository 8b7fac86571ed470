package agent

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Bind is a folder that is to be seen at a second place.
type Bind struct {
	From string `json:"from"` // made where it is missing
	To   string `json:"to"`   // left alone where the image has anything in it
}

// make mounts it. What it mounts is unmounted with what the job has mounted.
func (b Bind) make() error {
	free, err := vacant(b.To)
	if err != nil || !free {
		return err
	}
	// As the engines that use such folders make them.
	if err := os.MkdirAll(b.From, 0o711); err != nil {
		return err
	}
	if err := os.MkdirAll(b.To, 0o711); err != nil {
		return err
	}
	return unix.Mount(b.From, b.To, "", unix.MS_BIND, "")
}

// vacant tells whether path is an empty folder or nothing at all.
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
