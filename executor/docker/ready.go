package docker

import (
	"context"
	"fmt"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/readiness"
)

// waiter waits for services that the job container dials.
func (b *Backend) waiter(build started, m *made) readiness.Waiter {
	return readiness.Waiter{
		Job: b.Inside(build.id, build.agent(), jobcontainer.Name), Timeout: m.ServiceTimeout, Log: b.Log,
		Ended: func(ctx context.Context, s job.Running) bool {
			err := b.Engine.AwaitStop(ctx, s.ID)
			return err == nil || engine.IsNotFound(err)
		},
		Healthy: b.awaitHealth,
	}
}

// awaitHealth returns when the image's health check succeeds, or fails for good, or ctx ends.
func (b *Backend) awaitHealth(ctx context.Context, s job.Running) error {
	for {
		state, err := b.Engine.State(context.WithoutCancel(ctx), s.ID)
		switch {
		case err != nil:
			return err
		case state.Health == engine.Healthy || state.Health == engine.NoHealth:
			return nil
		case ctx.Err() != nil || state.Health == engine.Unhealthy:
			if state.HealthLog == "" {
				return fmt.Errorf("the image's health check reports %q", state.Health)
			}
			return fmt.Errorf("the image's health check reports %q: %s", state.Health, fault.Brief(state.HealthLog))
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}
