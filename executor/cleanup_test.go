package executor

import (
	"context"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
)

// slow is a Kept whose After blocks until its context ends.
type slow struct{ lasting }

func (slow) After(ctx context.Context, _ job.Identity) { <-ctx.Done() }

// Cleanup ends in time, however long its other steps take.
func TestCleanupEndsInTime(t *testing.T) {
	t.Parallel()
	x, _ := inMemory(t)
	x.CleanupTimeout, x.Kept = 100*time.Millisecond, &slow{}
	x.DropImages = func(ctx context.Context) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
	ended := make(chan error)
	go func() { ended <- x.Cleanup(context.WithoutCancel(t.Context()), identity) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
	}
}
