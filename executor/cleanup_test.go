package executor

import (
	"context"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
)

// slow is what outlives jobs, and takes as long as it is let.
type slow struct{ lasting }

func (slow) After(ctx context.Context, _ job.Identity) { <-ctx.Done() }

// However long the rest takes, cleanup ends with its time.
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
