package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// block is what a journal's size is a multiple of, in bytes: blanks fill the
// file up, which JSON allows, so that a spare of that size has room for the
// versions that follow.
const block = 4096

// slack is the least number of bytes that the next version may be longer by.
const slack = 1024

// replace puts text at path: old or new is there at any time, and the new one is
// on disk when it returns. It writes into the spare, whose blocks are there
// already, and lets the two change places, which takes no room on the disk.
func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	size := (len(text) + slack + block) / block * block
	text = append(text[:len(text):len(text)], bytes.Repeat([]byte{' '}, size-len(text)-1)...)
	text = append(text, '\n')

	spare := path + spareSuffix
	if err := fill(spare, text); err != nil {
		return err
	}
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		err = unix.Renameat2(unix.AT_FDCWD, spare, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not every file system can
			err = os.Rename(spare, path)
		}
		if err != nil {
			return fmt.Errorf("replacing %s: %w", path, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Rename(spare, path); err != nil {
			return err
		}
		// The first version: from now on there is a second file to write to.
		if err := fill(spare, text); err != nil {
			return err
		}
	default:
		return err
	}
	return flush(dir)
}

// fill writes text over whatever the file holds, in place, and flushes it. The
// file keeps a size that is larger, so that its blocks stay.
func fill(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if more := info.Size() - int64(len(text)); more > 0 {
		text = append(text[:len(text):len(text)], bytes.Repeat([]byte{' '}, int(more-1))...)
		text = append(text, '\n')
	}
	if _, err := io.Copy(io.NewOffsetWriter(f, 0), bytes.NewReader(text)); err != nil {
		return err
	}
	return f.Sync()
}

// flush makes a folder's entries outlive a power cut.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
