// Package image gets a job's image into the engine's store: by which policy, with
// which credentials, and how the job log tells of it.
package image

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
)

// Policy says when an image is pulled.
type Policy string

// The policies, by the names that GitLab CI gives them.
const (
	Always       Policy = "always"
	IfNotPresent Policy = "if-not-present"
	Never        Policy = "never"
)

// Request is an image that a job asks for.
type Request struct {
	Reference string
	Platform  string
	// Policies are tried in order until one yields the image.
	Policies []Policy
}

// Store is what we need of an engine.
type Store interface {
	InspectImage(ctx context.Context, ref string) (engine.Image, error)
	Pull(ctx context.Context, ref, platform, auth string, progress func(engine.Progress)) error
}

// Get makes the image be in the store and tells where it came from.
func Get(ctx context.Context, store Store, r Request, log logrus.FieldLogger) (engine.Image, error) {
	if strings.HasPrefix(r.Reference, "sha256:") {
		r.Policies = []Policy{Never} // an image ID names nothing that a registry knows
	}
	var last error
	for i, p := range r.Policies {
		if i > 0 {
			log.Warnf("Attempt #%d: Trying %q pull policy for %q", i+1, p, r.Reference)
		}
		img, err := r.by(ctx, p, store, log)
		if err == nil {
			log.Infof("Using docker image %s for %s%s ...", img.ID, r.Reference, digest(img))
			return img, nil
		}
		last = err
		if ctx.Err() != nil || engine.IsUnreachable(err) {
			break
		}
		log.Warnf("Failed to get image %q with policy %q: %v", r.Reference, p, err)
	}
	return engine.Image{}, last
}

func digest(img engine.Image) string {
	if len(img.Digests) == 0 {
		return ""
	}
	return " with digest " + img.Digests[0]
}

func (r Request) by(ctx context.Context, p Policy, store Store, log logrus.FieldLogger) (engine.Image, error) {
	if p != Always {
		img, err := store.InspectImage(ctx, r.Reference)
		switch {
		case err == nil:
			return img, nil
		case !engine.IsNotFound(err):
			return img, err
		case p == Never:
			return img, fault.Jobf("image %q is not on this machine and the pull policy is %q", r.Reference, p)
		}
	}
	log.Infof("Pulling docker image %s ...", r.Reference)
	t := &teller{log: log, every: 5 * time.Second, last: time.Now()}
	if err := store.Pull(ctx, r.Reference, r.Platform, "", t.tell); err != nil {
		if engine.IsNotFound(err) {
			return engine.Image{}, fault.Jobf("%w", err)
		}
		return engine.Image{}, err
	}
	return store.InspectImage(ctx, r.Reference)
}

// teller tells the progress of a pull in a line every so often.
type teller struct {
	log   logrus.FieldLogger
	every time.Duration
	last  time.Time
	size  map[string][2]int64 // layer: bytes here, bytes in all
}

func (t *teller) tell(p engine.Progress) {
	if p.Status != "Downloading" || p.Total == 0 {
		return
	}
	if t.size == nil {
		t.size = map[string][2]int64{}
	}
	t.size[p.Layer] = [2]int64{p.Current, p.Total}
	if time.Since(t.last) < t.every {
		return
	}
	t.last = time.Now()
	var here, all int64
	for _, s := range t.size {
		here, all = here+s[0], all+s[1]
	}
	t.log.Info(fmt.Sprintf("Pulling: %.1f of %.1f MB", float64(here)/1e6, float64(all)/1e6))
}
