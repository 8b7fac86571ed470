package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replace replaces the file at path. The old or the new text is there at any time, and the new text
// is on disk when it returns. The next version has a fixed name, so that a file left by a killed
// process is overwritten, or removed with the journal.
func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next := path + nextSuffix
	err := write(next, text)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil { // on a full disk: the unfinished file takes space
		_ = os.Remove(next)
		return err
	}
	return flush(dir)
}

// write writes a file and flushes it to disk.
func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// flush flushes a folder, so that its entries survive a power failure.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Flush writes changes that have not reached the disk yet.
func (j *Journal) Flush() error { return j.change(func(*Content) {}) }

// change makes a change and writes the file, unless the text is the same: each write costs a
// flush. Changes that are made during a write are written together by the next one.
func (j *Journal) change(edit func(*Content)) error {
	j.mu.Lock()
	edit(&j.file)
	j.mu.Unlock()
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.unread != nil {
		return j.unread
	}
	j.mu.Lock()
	text, err := json.MarshalIndent(j.file, "", "  ")
	j.mu.Unlock()
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if bytes.Equal(text, j.written) {
		return nil
	}
	testHook()
	if err := replace(j.path, append(text, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.written = text
	testHook()
	return nil
}
