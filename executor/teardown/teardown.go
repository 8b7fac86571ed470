// Package teardown removes what a job had, in a way that can be repeated and
// interrupted: removing what is already gone is success, what is busy is tried
// again within a bounded time, and what remains is told.
package teardown

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gitlab-sysbox-executor/executor/engine"
)

// Retry calls remove until it succeeds, finds that the thing is gone, or meets an
// error that another try will not mend. Between tries it waits from 50 ms up to
// 2 s, growing, with jitter; ctx bounds the whole. It returns what remained.
func Retry(ctx context.Context, remove func(context.Context) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = remove(ctx)
		switch {
		case last == nil || engine.IsNotFound(last):
			return struct{}{}, nil
		case engine.IsBusy(last), engine.IsUnreachable(last):
			return struct{}{}, last
		}
		return struct{}{}, backoff.Permanent(last)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if err != nil && ctx.Err() != nil && last != nil {
		return fmt.Errorf("gave up: %w", last)
	}
	return err
}
