package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Lock keeps two processes from changing one job's journal and removing its
// things at a time. Its file lives as long as the journal, so that a full disk does
// not keep a cleanup from locking.
func (d Dir) Lock(ctx context.Context, job string) (unlock func(), err error) {
	for {
		unlock, ok, err := d.TryLock(job)
		if err != nil || ok {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another clean-up of %s does not end: %w", job, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TryLock is Lock without waiting; false when somebody else has it.
func (d Dir) TryLock(job string) (unlock func(), ok bool, err error) {
	if err := d.make(private, d.Journals()); err != nil {
		return nil, false, fmt.Errorf("the lock: %w", err)
	}
	path := d.Journal(job) + ".lock"
	l, err := lockFile(path, (*flock.Flock).TryLock)
	if err != nil {
		return nil, false, fmt.Errorf("the lock: %w", err)
	} else if l == nil {
		return nil, false, nil
	}
	return func() {
		if _, err := os.Stat(d.Journal(job)); os.IsNotExist(err) {
			os.Remove(path)
		}
		l.Close()
	}, true, nil
}

// lockFile locks a file that others remove while they have its lock; nil when
// somebody else has it now.
func lockFile(path string, try func(*flock.Flock) (bool, error)) (*flock.Flock, error) {
	for {
		l := flock.New(path)
		if ok, err := try(l); err != nil || !ok {
			l.Close()
			return nil, err
		}
		held, err := l.Stat()
		if err == nil {
			if current, err := os.Stat(path); err == nil && os.SameFile(held, current) {
				return l, nil
			}
		}
		l.Close() // it was removed before the lock was ours
	}
}

// Use marks the job as being worked on until the process ends or calls done: gc
// leaves it alone meanwhile. It keeps nobody from removing the job.
func (d Dir) Use(job string) (done func()) {
	_ = os.Mkdir(d.use(job), private) // it is there, unless an older version made the job's folder
	l := openFolder(d.use(job))
	// Whoever asks whether the job is used has it for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if ok, err := l.TryRLockContext(ctx, 2*time.Millisecond); err != nil || !ok {
		return func() {} // there is no folder
	}
	return func() { l.Close() }
}

// Used tells whether a process has marked the job so, or may have.
func (d Dir) Used(job string) bool {
	l := openFolder(d.use(job))
	defer l.Close()
	ok, err := l.TryLock()
	return !ok && !errors.Is(err, fs.ErrNotExist)
}

// openFolder is for the lock of a folder: there is no file to be left.
func openFolder(path string) *flock.Flock { return flock.New(path, flock.SetFlag(os.O_RDONLY)) }

// tryFolder locks a folder of ours, which it makes; false when somebody else has it.
func (d Dir) tryFolder(path string) (unlock func(), ok bool, err error) {
	if err := d.make(private, path); err != nil {
		return nil, false, err
	}
	l := openFolder(path)
	if ok, err := l.TryLock(); err != nil || !ok {
		l.Close()
		return nil, false, err
	}
	return func() { l.Close() }, true, nil
}

// TryLockGC is the lock of gc; false when another gc has it.
func (d Dir) TryLockGC() (unlock func(), ok bool, err error) {
	if unlock, ok, err = d.tryFolder(d.GC()); ok {
		now := time.Now()
		_ = os.Chtimes(d.GC(), now, now) // at worst the next prepare does it again
	}
	return unlock, ok, err
}

// admissionTime is how long one waits for the admission of other jobs, each of which
// takes milliseconds.
const admissionTime = time.Minute

// LockAdmission waits until no other job's claim on the disk is being looked at.
func (d Dir) LockAdmission(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "admission", admissionTime)
}

// roomTime is how long one waits for whoever makes room on a disk.
const roomTime = 3 * time.Minute

// LockRoom waits until nobody else makes room on a disk.
func (d Dir) LockRoom(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "room", roomTime)
}

// pulledTime is how long one waits for whoever notes an image, a matter of
// milliseconds.
const pulledTime = 10 * time.Second

// LockPulled waits until nobody changes what is in the files of pulled images.
func (d Dir) LockPulled(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "pulled", pulledTime)
}

// lockShared waits for one of the locks that all jobs share.
func (d Dir) lockShared(ctx context.Context, name string, longest time.Duration) (unlock func(), err error) {
	path := filepath.Join(d.locks(), name)
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		unlock, ok, err := d.tryShared(path)
		if err != nil {
			return nil, fmt.Errorf("the lock %s: %w", path, err)
		} else if ok {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another job has the lock %s and does not release it: %w", path, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TryLockImages is the lock of whoever changes the images that all jobs share;
// false when somebody else has it.
func (d Dir) TryLockImages() (unlock func(), ok bool, err error) {
	if err := d.make(passable, d.Images()); err != nil {
		return nil, false, err
	}
	return d.tryShared(filepath.Join(d.locks(), "images"))
}

// tryShared is tryFolder for one of the locks that all jobs share.
func (d Dir) tryShared(path string) (unlock func(), ok bool, err error) {
	if err := d.make(private, d.locks()); err != nil {
		return nil, false, err
	}
	return d.tryFolder(path)
}

// Hold is a hold on a volume that is kept, or on an image that a job pulled.
type Hold struct{ lock *flock.Flock }

// Release lets others take it. It may be called again.
func (h *Hold) Release() { h.lock.Close() }

// Hold locks the file of a volume that is kept, with others or, where exclusive,
// alone; nil when that is not possible now.
func (d Dir) Hold(volume string, exclusive bool) (*Hold, error) {
	h, err := d.hold(d.Kept(volume), exclusive)
	if err != nil {
		return nil, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return h, nil
}

// HoldImage is Hold for the file of an image that a job pulled. The file is made where
// there is none.
func (d Dir) HoldImage(number string, exclusive bool) (*Hold, error) {
	h, err := d.hold(d.PulledImage(number), exclusive)
	if err != nil {
		return nil, fmt.Errorf("pulled image %.12s: %w", number, err)
	}
	return h, nil
}

func (d Dir) hold(path string, exclusive bool) (*Hold, error) {
	if err := d.make(private, filepath.Dir(path)); err != nil {
		return nil, err
	}
	try := (*flock.Flock).TryRLock
	if exclusive {
		try = (*flock.Flock).TryLock
	}
	l, err := lockFile(path, try)
	if l == nil || err != nil {
		return nil, err
	}
	return &Hold{l}, nil
}
