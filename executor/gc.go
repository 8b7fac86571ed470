package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/removal"
)

// GC removes resources that belong to no running job. It finds them by labels, journals and the folders in
// the state folder. A job runs while its owner process lives or one of its stages runs. GC removes only
// resources with our labels, and files only in the state folder. It may run in parallel to prepare, run,
// cleanup and other gcs; if another gc is running, the error is removal.ErrBusy.
func (x *Executor) GC(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	unlock, ok, err := x.Dir.TryLockGC()
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	} else if !ok {
		return nil, removal.ErrBusy
	}
	defer unlock()
	ctx, seen := observe.With(ctx, nil)
	began := time.Now()
	all, err := x.collect(ctx, o)
	if !o.DryRun {
		run := accounting.GC{Seconds: time.Since(began).Seconds(), Failed: err != nil, Retries: seen.Seen().Retries}
		for _, c := range all {
			switch c.Action {
			case removal.Removed:
				run.Removed++
			case removal.LeftOver:
				run.Left++
			}
		}
		x.Accounts.Collected(context.WithoutCancel(ctx), run)
	}
	return all, err
}

// collect is GC under its lock.
func (x *Executor) collect(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	e := x.Removal()
	all, err := e.Collect(ctx, o)
	if err != nil {
		return all, err
	}
	all = append(all, e.CollectQuarantine(ctx, o)...)
	var errs []error
	for _, collect := range x.Collects {
		collected, err := collect(ctx, o)
		all, errs = append(all, collected...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// sweep is the gc that prepare starts in parallel, if there was none within the interval. It takes a few
// seconds at most, and its errors do not fail the job. The returned function waits for its end.
func (x *Executor) sweep(ctx context.Context) (wait func()) {
	info, err := os.Stat(x.Dir.GC())
	if x.GCInterval <= 0 || err == nil && time.Since(info.ModTime()).Abs() < x.GCInterval {
		return func() {}
	}
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	go func() {
		defer close(done)
		all, err := x.GC(ctx, removal.Options{Each: sweepTime})
		if err != nil {
			x.Log.Debugf("gc beside prepare: %v", err)
		}
		// Only numbers, because the names belong to other projects.
		counts := map[removal.Action]int{}
		for _, c := range all {
			counts[c.Action]++
		}
		x.Log.Debugf("gc beside prepare: %d removed, %d kept, %d left", counts[removal.Removed], counts[removal.Kept], counts[removal.LeftOver])
	}()
	return func() {
		defer cancel()
		select {
		case <-done:
		case <-ctx.Done(): // the gc does not end at its time limit
		}
	}
}

// sweepTime limits the gc of prepare.
var sweepTime = 5 * time.Second
