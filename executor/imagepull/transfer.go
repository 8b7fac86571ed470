package imagepull

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
)

// How often and when a pull is tried again, as GitLab's Docker executor does it.
const (
	pullTries    = 3 // per policy
	firstPause   = 2 * time.Second
	longestPause = 10 * time.Second
)

// pull pulls the image, again when what failed may pass.
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
		t := newTeller(g.log, g.Reference)
		err := g.store.Pull(ctx, g.name, g.Platform, found.Credentials, t.tell)
		if err != nil {
			return struct{}{}, g.classify(ctx, err, found.Source)
		}
		t.end()
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
		return img, fault.Systemf("image %q was pulled, and is not on this machine all the same: %w", g.Reference, err)
	}
	return img, err
}

// classify says whose fault a failed pull is, and marks as permanent what another
// try would not mend.
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
