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

// Lock prevents two processes from changing a job's journal and removing its resources at
// the same time. The lock file is kept as long as the journal, so that a cleanup does not
// have to make a file on a full disk.
func (d Dir) Lock(ctx context.Context, job string) (unlock func(), err error) {
	for {
		unlock, ok, err := d.TryLock(job)
		if err != nil || ok {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("timed out waiting for another cleanup of %s: %w", job, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TryLock is Lock without waiting; it returns false if another process has the lock.
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

// lockFile locks a file that others remove while they hold its lock. It returns nil if
// another process has the lock.
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
		l.Close() // the file was removed before this process got the lock
	}
}

// Use marks the job as used until the process ends or calls done. gc leaves such a job
// alone. It does not prevent a cleanup of the job.
func (d Dir) Use(job string) (done func()) {
	_ = os.Mkdir(d.use(job), private) // missing only if an older version made the job's folder
	l := openFolder(d.use(job))
	// Used takes the lock for a moment, so wait for it.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if ok, err := l.TryRLockContext(ctx, 2*time.Millisecond); err != nil || !ok {
		return func() {} // the job has no folder
	}
	return func() { l.Close() }
}

// Used reports whether a process has marked the job as used, or may have.
func (d Dir) Used(job string) bool {
	l := openFolder(d.use(job))
	defer l.Close()
	ok, err := l.TryLock()
	return !ok && !errors.Is(err, fs.ErrNotExist)
}

// openFolder opens a folder to lock it, so that no lock file is left behind.
func openFolder(path string) *flock.Flock { return flock.New(path, flock.SetFlag(os.O_RDONLY)) }

// tryFolder makes and locks a folder; it returns false if another process has the lock.
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

// TryLockGC takes the lock of gc; it returns false if another gc has it.
func (d Dir) TryLockGC() (unlock func(), ok bool, err error) {
	if unlock, ok, err = d.tryFolder(d.GC()); ok {
		now := time.Now()
		_ = os.Chtimes(d.GC(), now, now) // if this fails, the next prepare only starts another gc
	}
	return unlock, ok, err
}

// admissionTime limits the wait for the admission of other jobs. Each takes milliseconds.
const admissionTime = time.Minute

// LockAdmission takes the lock for claims on the disk.
func (d Dir) LockAdmission(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "admission", admissionTime)
}

// roomTime limits the wait for another process that frees disk space.
const roomTime = 3 * time.Minute

// LockRoom takes the lock for freeing disk space.
func (d Dir) LockRoom(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "room", roomTime)
}

// pulledTime limits the wait for processes that record an image, which takes milliseconds.
const pulledTime = 10 * time.Second

// LockPulled takes the lock for the files of pulled images.
func (d Dir) LockPulled(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "pulled", pulledTime)
}

// subnetsTime limits the wait for other jobs that make a network. Each takes a tenth of a second.
const subnetsTime = 2 * time.Minute

// LockSubnets takes the lock for the choice of a network's subnet.
func (d Dir) LockSubnets(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "subnets", subnetsTime)
}

// disksTime limits the wait for processes that take or return a kept disk, which takes milliseconds.
const disksTime = 10 * time.Second

// LockDisks takes the lock for the kept disks.
func (d Dir) LockDisks(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "disks", disksTime)
}

// metricsTime limits the wait for processes that change or read the totals. Each takes milliseconds.
const metricsTime = 5 * time.Second

// metricsPause is the time between two attempts.
const metricsPause = 5 * time.Millisecond

// LockMetrics takes the lock for a change of the totals.
func (d Dir) LockMetrics(ctx context.Context) (unlock func(), err error) {
	return d.lockMetrics(ctx, (*flock.Flock).TryLockContext)
}

// RLockMetrics is LockMetrics for a reader. It changes nothing; without the folder the error is fs.ErrNotExist.
func (d Dir) RLockMetrics(ctx context.Context) (unlock func(), err error) {
	return d.lockMetrics(ctx, (*flock.Flock).TryRLockContext)
}

func (d Dir) lockMetrics(ctx context.Context, try func(*flock.Flock, context.Context, time.Duration) (bool, error)) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()
	l := openFolder(d.Metrics())
	if _, err := try(l, ctx, metricsPause); err != nil {
		l.Close()
		return nil, fmt.Errorf("the lock %s: %w", d.Metrics(), err)
	}
	return func() { l.Close() }, nil
}

// doctorTime limits the wait for another doctor, whose jobs take seconds.
const doctorTime = 3 * time.Minute

// LockDoctor takes the lock for the trial image of doctor.
func (d Dir) LockDoctor(ctx context.Context) (unlock func(), err error) {
	return d.lockShared(ctx, "doctor", doctorTime)
}

// lockShared waits for a lock that all jobs share.
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

// TryLockImages takes the lock for changes of the shared images; it returns false if another
// process has it.
func (d Dir) TryLockImages() (unlock func(), ok bool, err error) {
	if err := d.make(passable, d.Images()); err != nil {
		return nil, false, err
	}
	return d.tryShared(filepath.Join(d.locks(), "images"))
}

// tryShared is tryFolder for a lock that all jobs share.
func (d Dir) tryShared(path string) (unlock func(), ok bool, err error) {
	if err := d.make(private, d.locks()); err != nil {
		return nil, false, err
	}
	return d.tryFolder(path)
}

// Hold is a lock on a kept volume, or on an image that a job pulled.
type Hold struct{ lock *flock.Flock }

// Release releases the lock. It may be called more than once.
func (h *Hold) Release() { h.lock.Close() }

// Hold locks the file of a kept volume, shared or exclusive. It returns nil if another lock
// prevents that.
func (d Dir) Hold(volume string, exclusive bool) (*Hold, error) {
	h, err := d.hold(d.Kept(volume), exclusive)
	if err != nil {
		return nil, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return h, nil
}

// HoldImage is Hold for the file of an image that a job pulled. It makes the file if it
// does not exist.
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
