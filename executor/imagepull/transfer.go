package imagepull

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/observe"
)

// Number and times of the attempts to pull, as in GitLab's Docker executor.
const (
	pullTries    = 3 // per policy
	firstPause   = 2 * time.Second
	longestPause = 10 * time.Second
)

// pull pulls the image, and tries again after a temporary failure.
func (g getter) pull(ctx context.Context) (engine.Image, error) {
	found, err := g.Credentials.Find(ctx, g.Reference, g.log)
	if err != nil {
		return engine.Image{}, err
	}
	platform := ""
	if g.Platform != "" {
		platform = " for platform " + g.Platform
	}
	g.log.Infof("Pulling docker image %s%s ...", g.Reference, platform)

	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = firstPause, longestPause, 2
	tries := 0
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		tries++
		t := newReporter(g.log, g.Reference)
		if t.meter = g.meter; t.meter != nil {
			defer t.meter.Hide(g.Reference)
		}
		err := g.store.Pull(ctx, g.name, g.Platform, found.Credentials, t.report)
		if err != nil {
			return struct{}{}, g.classify(ctx, err, found.Source)
		}
		t.end()
		here, _, _, _, _ := t.sums()
		observe.Pulled(ctx, here, time.Since(t.began))
		return struct{}{}, nil
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(pullTries), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, _ time.Duration) {
			g.log.Warnf("Failed to pull image %q (attempt #%d), retrying: %v", g.Reference, tries, err)
		}))
	if err != nil {
		return engine.Image{}, err
	}
	img, err := g.inspect(ctx)
	if engine.IsNotFound(err) {
		return img, fault.Systemf("image %q was pulled but is not on this machine: %w", g.Reference, err)
	}
	return img, err
}

// classify decides whether the job is at fault for a failed pull, and marks an error as permanent
// if another attempt cannot succeed.
func (g getter) classify(ctx context.Context, err error, source string) error {
	switch {
	case ctx.Err() != nil || engine.IsUnreachable(err):
		return backoff.Permanent(err)
	case engine.IsPullRefused(err) && source == "":
		return backoff.Permanent(fault.Jobf("%w (no credentials were found for it; DOCKER_AUTH_CONFIG can hold some)", err))
	case engine.IsPullRefused(err):
		return backoff.Permanent(fault.Jobf("%w (the credentials are from %s)", err, source))
	case engine.IsPullAbsent(err):
		return backoff.Permanent(fault.Jobf("%w", err))
	case engine.IsPullLasting(err):
		return backoff.Permanent(err)
	}
	return err
}
