package statedir

import (
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
