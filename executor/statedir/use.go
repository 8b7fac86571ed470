package statedir

import (
	"errors"
	"os"
	"time"
)

// LastUse is a file's time of modification. One that lies ahead was written before
// the clock was set back: the file gets the present time, which begins to run.
func LastUse(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	last, now := info.ModTime(), time.Now()
	if last.After(now) {
		_ = os.Chtimes(path, now, now) // at worst it counts as new once more
		last = now
	}
	return last, nil
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
