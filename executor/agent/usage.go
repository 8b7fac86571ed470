package agent

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/format"
)

// Watch asks to monitor disk space while a script runs.
type Watch struct {
	Volume string `json:"volume,omitempty"` // mount point of the storage volume; empty if there is none
	TMPDIR string `json:"tmpdir,omitempty"` // also monitored if it is on another file system
	// Hard means that the volume has a file system of its own.
	Hard bool `json:"hard,omitempty"`
	// Measure asks for Usage.Files.
	Measure bool `json:"measure,omitempty"`
}

// Usage is the result of Watch. Sizes are in bytes.
type Usage struct {
	Used int64 `json:"used"` // after the script ended
	Peak int64 `json:"peak"`
	// Files is the size of all files, with shared blocks counted for each file; 0 if it was
	// not measured or not within measureTime.
	Files int64 `json:"files,omitempty"`
	// Full lists the folders whose file system ran out of space meanwhile.
	Full []string `json:"full,omitempty"`
}

// watchEvery is short, because a program that fills a disk and fails may remove its files at
// once.
const watchEvery = 250 * time.Millisecond

// measureTime bounds how long the job waits for Usage.Files.
const measureTime = 2 * time.Second

// warnings are the percentages at which the job's log gets a warning.
var warnings = []int{95, 80}

type space struct{ size, used, free int64 }

// spaceAt returns the space of the file system at path.
func spaceAt(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, err
	}
	return space{int64(s.Blocks) * s.Bsize, int64(s.Blocks-s.Bfree) * s.Bsize, int64(s.Bavail) * s.Bsize}, nil
}

// full reports whether a write of usual size no longer fits.
func (s space) full() bool { return s.free < max(4<<20, s.size/1000) }

func (s space) level() int {
	if s.size == 0 {
		return 0
	}
	percent := 100 - int(s.free*100/s.size)
	for _, w := range warnings {
		if percent >= w {
			return w
		}
	}
	return 0
}

// watched is one monitored folder.
type watched struct {
	path, what string
	reported   int  // the highest level reported so far, or the level at the start
	full       bool // it was full at some time
}

// start begins to monitor, and writes warnings to out. The returned function stops it and returns
// the result.
func (w Watch) start(out io.Writer) (end func() *Usage) {
	return w.startAsking(out, func(path string) (space, error) {
		if path == w.Volume && sameDevice(path, filepath.Dir(path)) { // it would be the space of the host's disk
			return space{}, fmt.Errorf("the volume is no longer mounted at %s", path)
		}
		return spaceAt(path)
	})
}

// startAsking is start with spaceAt replaced.
func (w Watch) startAsking(out io.Writer, spaceAt func(path string) (space, error)) (end func() *Usage) {
	var all []*watched
	if w.Volume != "" && w.Hard {
		all = append(all, &watched{path: w.Volume, what: "The job's storage volume"})
	}
	if w.TMPDIR != "" && (len(all) == 0 || !sameDevice(w.Volume, w.TMPDIR)) {
		all = append(all, &watched{path: w.TMPDIR, what: "The disk that holds the job's TMPDIR " + w.TMPDIR})
	}
	for _, a := range all {
		if s, err := spaceAt(a.path); err == nil {
			a.reported = s.level()
		}
	}
	var u Usage
	look := func() {
		for _, a := range all {
			s, err := spaceAt(a.path)
			if err != nil {
				continue // the job may remove its TMPDIR
			}
			if a.path == w.Volume {
				u.Used, u.Peak = s.used, max(u.Peak, s.used)
			}
			if level := s.level(); level > a.reported {
				a.reported = level
				fmt.Fprintf(out, "\x1b[0;33mWARNING: %s is %d %% full: %s of %s are free.\x1b[0;m\n", a.what, level, format.Bytes(s.free), format.Bytes(s.size))
			}
			if s.full() && !a.full {
				a.full = true
				u.Full = append(u.Full, a.path)
			}
		}
	}
	look()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				look()
			}
		}
	})
	return func() *Usage {
		close(done)
		wg.Wait()
		look()
		if w.Measure && w.Volume != "" {
			if files, ok := filesBelow(w.Volume, time.Now().Add(measureTime)); ok {
				u.Files = files
				if !w.Hard {
					u.Used, u.Peak = files, files
				}
			}
		}
		return &u
	}
}

func sameDevice(a, b string) bool {
	var s, t unix.Stat_t
	return unix.Stat(a, &s) == nil && unix.Stat(b, &t) == nil && s.Dev == t.Dev
}

// filesBelow returns the total size of the files below dir; false if the deadline passes first.
// It skips files that come or go meanwhile.
func filesBelow(dir string, deadline time.Time) (sum int64, ok bool) {
	seen := map[uint64]bool{}
	n := 0
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if n++; n%256 == 0 && time.Now().After(deadline) {
			return fs.SkipAll
		}
		if err != nil {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		s, isUnix := info.Sys().(*syscall.Stat_t)
		if !isUnix || s.Nlink > 1 && !entry.IsDir() && seen[s.Ino] {
			return nil
		}
		if s.Nlink > 1 && !entry.IsDir() {
			seen[s.Ino] = true
		}
		sum += s.Blocks * 512
		return nil
	})
	return sum, err == nil && time.Now().Before(deadline)
}
