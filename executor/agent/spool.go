package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The output that a stage keeps for a driver that has not confirmed it, in bytes.
const (
	// keptInMemory is enough while the driver is connected.
	keptInMemory = 256 << 10
	// keptOnDisk is enough for a fast script on a slow connection. Then the script waits.
	keptOnDisk = 16 << 20
)

// spool keeps output until it is confirmed. Positions count from the beginning of the output. If there is no room, write
// waits. Its methods may be called concurrently.
type spool struct {
	mu      sync.Mutex
	changed *sync.Cond
	dir     string // of the file; empty for none
	store   store
	size    int64 // of store
	start   int64 // all before it is confirmed
	end     int64
	closed  bool // nothing waits any more
}

// store is where a spool's bytes are, in a ring.
type store interface {
	io.ReaderAt
	io.WriterAt
}

// memory is a store in memory.
type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error)  { return copy(p, m[at:]), nil }
func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

// newSpool makes a spool that grows into a file in dir.
func newSpool(dir string) *spool {
	s := &spool{dir: dir, store: make(memory, keptInMemory), size: keptInMemory}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Write keeps p. It waits for room until close; then it drops what has no room.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := p; len(rest) > 0; {
		room := s.size - (s.end - s.start)
		if room == 0 && s.grow() {
			continue
		}
		for room == 0 && !s.closed {
			s.changed.Wait()
			room = s.size - (s.end - s.start)
		}
		if room == 0 {
			break
		}
		at := s.end % s.size
		n := min(int64(len(rest)), room, s.size-at)
		if _, err := s.store.WriteAt(rest[:n], at); err != nil {
			return len(p) - len(rest), fmt.Errorf("keeping the script's output in %s: %w", s.dir, err)
		}
		s.end, rest = s.end+n, rest[n:]
		s.changed.Broadcast()
	}
	return len(p), nil
}

// grow moves the output to a file; false if it is there, or cannot be. The file has no name, so that nobody else can open
// it and nothing is left of it. Its space is reserved, so that the job cannot take it.
func (s *spool) grow() bool {
	if s.dir == "" {
		return false
	}
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	s.dir = ""
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(fd), "the script's output")
	if unix.Fallocate(fd, 0, 0, keptOnDisk) != nil || s.moveTo(file, keptOnDisk) != nil {
		file.Close()
		return false
	}
	return true
}

// moveTo copies what is kept to another store.
func (s *spool) moveTo(other store, size int64) error {
	part := make([]byte, s.end-s.start)
	n, err := s.read(part, s.start)
	for done := int64(0); err == nil && done < int64(n); {
		at := (s.start + done) % size
		m := min(int64(n)-done, size-at)
		_, err = other.WriteAt(part[done:done+m], at)
		done += m
	}
	if err == nil {
		s.store, s.size = other, size
	}
	return err
}

// read reads what is kept from a position on.
func (s *spool) read(p []byte, from int64) (n int, err error) {
	for n < len(p) && from < s.end {
		at := from % s.size
		m := min(int64(len(p)-n), s.end-from, s.size-at)
		if _, err := s.store.ReadAt(p[n:n+int(m)], at); err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		n, from = n+int(m), from+m
	}
	return n, nil
}

// confirm drops the output before a position; false if the position is impossible.
func (s *spool) confirm(to int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to < s.start || to > s.end {
		return false
	}
	s.start = to
	s.changed.Broadcast()
	return true
}

// next waits until there is output from a position on or until is true, and reads it. Nothing is read if until is true
// and there is none.
func (s *spool) next(p []byte, from int64, until func() bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for from >= s.end && !until() && !s.closed {
		s.changed.Wait()
	}
	if from < s.start { // a newer connection has confirmed more
		return 0, io.EOF
	}
	return s.read(p, from)
}

// wake makes next look at its condition again.
func (s *spool) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// length is how much was written.
func (s *spool) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// close ends all waits.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
}
