package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// LastUse is a file's modification time. If that is in the future, the clock was set back,
// and LastUse returns the present time. The file is not changed.
func LastUse(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return Past(info.ModTime()), nil
}

// Past is a time, or the present time if that is in the future: then the clock was set back.
func Past(t time.Time) time.Time {
	if now := time.Now(); t.After(now) {
		return now
	}
	return t
}

// CorrectTimes sets modification times in the future to the present. Otherwise these files
// would count as just used until the clock reaches that time. It is part of gc.
func (d Dir) CorrectTimes() {
	for _, folder := range []string{d.Journals(), d.path("kept"), d.Pulled(), d.Aside()} {
		entries, _ := os.ReadDir(folder) // gc reports an error
		for _, e := range entries {
			now := time.Now()
			if info, err := e.Info(); err == nil && info.ModTime().After(now) {
				_ = os.Chtimes(filepath.Join(folder, e.Name()), now, now) // if this fails, the next gc tries again
			}
		}
	}
}

// Overwrite replaces the content of an existing file and sets its modification time. It
// keeps the same inode, because the file may be locked. A concurrent reader, or a reader
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
