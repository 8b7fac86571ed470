package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// LastUse is a file's time of modification, or the present time if that lies ahead: it
// was written before the clock was set back. Nothing is changed.
func LastUse(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	last, now := info.ModTime(), time.Now()
	if last.After(now) {
		last = now
	}
	return last, nil
}

// CorrectTimes gives the present time to what was used last at a time that lies ahead.
// Otherwise it would count as used just now until the clock gets there. It is part of
// gc.
func (d Dir) CorrectTimes() {
	for _, folder := range []string{d.Journals(), d.path("kept"), d.Pulled(), d.Aside()} {
		entries, _ := os.ReadDir(folder) // what cannot be read is reported by gc
		for _, e := range entries {
			now := time.Now()
			if info, err := e.Info(); err == nil && info.ModTime().After(now) {
				_ = os.Chtimes(filepath.Join(folder, e.Name()), now, now) // the next gc tries again
			}
		}
	}
}

// Overwrite replaces what is in a file that is there, and gives it that time of
// modification. The file stays the same one: it may be locked. A reader beside it, or
// after a crash, may find a mixture of both texts.
func Overwrite(path string, text []byte, use time.Time) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	return errors.Join(err, os.Chtimes(path, use, use))
}
