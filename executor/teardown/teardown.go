// Package teardown removes what a job had, in a way that can be repeated and
// interrupted: removing what is already gone is success, what is busy is tried
// again within a bounded time, and what remains is told, with who holds it.
package teardown

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// oddTries is how often a removal is tried whose failure nobody has heard of.
const oddTries = 5

// Retry calls remove until the thing is gone or another try will not help.
// Between tries it waits from 50 ms up to 2 s, growing, with jitter; ctx bounds
// the whole. It returns what the last try that was let finish said.
func Retry(ctx context.Context, way Way, remove func(context.Context) error, there func() bool) error {
	return RetryAs(ctx, func(err error) Meaning { return Of(way, err, there) }, remove)
}

// RetryAs is Retry where meaning says what an outcome means.
func RetryAs(ctx context.Context, meaning func(error) Meaning, remove func(context.Context) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	var told error
	odd := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := remove(ctx)
		if err != nil && (told == nil || ctx.Err() == nil) {
			told = err
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
	case told == nil:
		told = errors.Join(err, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return &StillBusy{told}
	}
	return told
}

// StillBusy tells that the time was up before the thing could be removed: another
// try may succeed.
type StillBusy struct{ err error }

func (b *StillBusy) Error() string { return "still busy: " + b.err.Error() }

// Unwrap is what the last try said.
func (b *StillBusy) Unwrap() error { return b.err }
