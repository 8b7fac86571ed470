package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// fitIDs makes the ranges of subordinate IDs fit a user namespace of this size; 0 leaves them as they are.
func fitIDs(size int) error {
	if size == 0 {
		return nil
	}
	if err := sysbox.FitFiles(size, readIDs, writeIDs); err != nil {
		return fmt.Errorf("could not fit the ranges of subordinate IDs: %w", err)
	}
	return nil
}

// mostIDs bounds what is read of a file with users' IDs, in bytes. A larger file is not changed.
const mostIDs = 64 << 10

// writeIDs replaces the text of a file and keeps its owner and mode.
func writeIDs(file string, text []byte) error {
	old, err := readIDs(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		// A full disk, for example. The old text needs no more room.
		return errors.Join(err, os.WriteFile(file, old, 0o644))
	}
	return nil
}

// readIDs returns the content of a plain file. It returns nothing if there is none, or if it is
// too large. The image may have put anything at the path; a symbolic link is not followed.
func readIDs(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > mostIDs {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, mostIDs))
}
