package executor

import (
	"context"

	"gitlab-sysbox-executor/executor/shared"
)

// shared is the images that all jobs share.
func (x *Executor) shared() *shared.Store {
	return &shared.Store{State: x.state(), Engine: x.Engine, Host: x.Engine.Host(), Kept: x.Kept(), Log: x.Log}
}

// takeImages holds the shared images for a job that is to have them.
func (x *Executor) takeImages(ctx context.Context, p plan) (g shared.Generation, release func()) {
	if !p.SharedImages {
		return g, func() {}
	}
	return x.shared().Take(ctx)
}
