package executor

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The gc of prepare does not delay prepare beyond its time limit, whatever delays the gc.
func TestSweepEndsInTime(t *testing.T) {
	old := sweepTime
	t.Cleanup(func() { sweepTime = old })
	sweepTime = 200 * time.Millisecond
	x, _ := inMemory(t)
	x.GCInterval = time.Hour
	if err := os.MkdirAll(x.Dir.Journals(), 0o700); err != nil {
		t.Fatal(err)
	}
	path := x.Dir.Journal("gsx-1")
	if err := unix.Mkfifo(path, 0o600); err != nil { // a reader of it waits for a writer
		t.Fatal(err)
	}
	wait := x.sweep(t.Context())
	ended := make(chan struct{})
	go func() { wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("prepare still waits for it")
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if writer, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			writer.Close() // the gc reads the end of the file
		}
		unlock, ok, err := x.Dir.TryLockGC()
		if err != nil {
			t.Fatal(err)
		} else if ok {
			unlock()
			return
		}
		if time.Now().After(end) {
			t.Fatal("the gc has not come to its end")
		}
	}
}
