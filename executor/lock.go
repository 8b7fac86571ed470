package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"gitlab-sysbox-executor/executor/journal"
)

// lock keeps two processes from changing one job's journal and removing its
// things at a time. The kernel drops it when its holder dies. Its file lives as
// long as the journal, so that a full disk does not keep a cleanup from locking;
// whoever waited for it looks whether it is still the one in the folder.
func (x *Executor) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		unlock, ok, err := x.tryLock(name)
		if err != nil || ok {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another clean-up of %s does not end: %w", name, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tryLock is lock without waiting; false when somebody else has it.
func (x *Executor) tryLock(name string) (unlock func(), ok bool, err error) {
	if err := os.MkdirAll(x.journals(), 0o700); err != nil {
		return nil, false, fmt.Errorf("the lock: %w", err)
	}
	path := journal.Path(x.journals(), name) + ".lock"
	l := flock.New(path)
	if ok, err := l.TryLock(); err != nil || !ok {
		l.Close()
		if err != nil {
			return nil, false, fmt.Errorf("the lock: %w", err)
		}
		return nil, false, nil
	}
	held, err := l.Stat()
	if err == nil {
		if current, err := os.Stat(path); err == nil && os.SameFile(held, current) {
			return func() {
				if _, err := os.Stat(journal.Path(x.journals(), name)); os.IsNotExist(err) {
					os.Remove(path)
				}
				l.Close()
			}, true, nil
		}
	}
	l.Close()
	return nil, false, nil
}

// use marks the job as being worked on until the process ends or calls done: gc
// leaves it alone meanwhile. It keeps nobody from removing the job.
func (x *Executor) use(name string) (done func()) {
	l := flock.New(filepath.Join(x.StateDir, "jobs", name), flock.SetFlag(os.O_RDONLY))
	// Whoever asks whether the job is used has it for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if ok, err := l.TryRLockContext(ctx, 2*time.Millisecond); err != nil || !ok {
		return func() {} // there is no folder
	}
	return func() { l.Close() }
}

// used tells whether a process has marked the job so, or may have.
func (x *Executor) used(name string) bool {
	l := flock.New(filepath.Join(x.StateDir, "jobs", name), flock.SetFlag(os.O_RDONLY))
	defer l.Close()
	ok, err := l.TryLock()
	return !ok && !errors.Is(err, fs.ErrNotExist)
}
