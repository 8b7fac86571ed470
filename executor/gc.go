package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/removal"
)

// GC removes what belongs to no running job: by labels, journals and the folders
// below the state folder. A job runs while the process that drives it lives or
// one of its stages does. Nothing without our labels, and nothing outside the
// state folder, is touched. It is safe beside prepare, run, cleanup and other
// gcs; removal.ErrBusy when one of these is at work.
func (x *Executor) GC(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	unlock, ok, err := x.Dir.TryLockGC()
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	} else if !ok {
		return nil, removal.ErrBusy
	}
	defer unlock()
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

// sweep is the GC that prepare does beside its own work, if none was done for as
// long as the interval. It is bounded to a few seconds, and its troubles are not
// the job's. The returned function waits for its end.
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
		// Other projects' jobs are nothing for this one's log.
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
		case <-ctx.Done(): // something keeps it that does not end with its time
		}
	}
}

// sweepTime bounds the gc that prepare does.
var sweepTime = 5 * time.Second
