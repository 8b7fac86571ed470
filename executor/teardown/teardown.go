// Package teardown removes a job's resources. A removal can be repeated and interrupted: a
// missing resource is success, a busy one is retried within a bounded time, and leftovers
// are reported with their holders.
package teardown

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gitlab-sysbox-executor/executor/observe"
)

// oddTries is how often a removal is retried after an unknown error.
const oddTries = 5

// Retry calls remove until the resource is gone or a retry is useless. Between attempts it
// waits from 50 ms up to 2 s, growing, with jitter, until ctx ends. It returns the error of
// the last attempt that ctx did not interrupt.
func Retry(ctx context.Context, way Way, remove func(context.Context) error, there func() bool) error {
	return RetryAs(ctx, func(err error) Meaning { return Of(way, err, there) }, remove)
}

// RetryAs is Retry with its own interpretation of errors.
func RetryAs(ctx context.Context, meaning func(error) Meaning, remove func(context.Context) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	var last error
	odd, tries := 0, 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if tries++; tries > 1 {
			observe.Retried(ctx)
		}
		err := remove(ctx)
		if err != nil && (last == nil || ctx.Err() == nil) {
			last = err
		}
		switch meaning(err) {
		case Gone:
			return struct{}{}, nil
		case Odd:
			if odd++; odd >= oddTries {
				return struct{}{}, backoff.Permanent(err)
			}
		case Failed:
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		return nil
	case last == nil:
		last = errors.Join(err, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return &StillBusy{last}
	}
	return last
}

// StillBusy means that the time ended before the resource was removed: a retry may succeed.
type StillBusy struct{ err error }

func (b *StillBusy) Error() string { return "still busy: " + b.err.Error() }

// Unwrap returns the error of the last attempt.
func (b *StillBusy) Unwrap() error { return b.err }
