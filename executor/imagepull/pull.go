// Package imagepull pulls a job's images, and writes the same lines to the job log as GitLab's
// Docker executor (gitlab-runner, executors/docker/internal/pull).
package imagepull

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/image"
)

// Store is the part of an engine that this package needs.
type Store interface {
	InspectImage(ctx context.Context, ref, platform string) (engine.Image, error)
	Pull(ctx context.Context, ref, platform string, c image.Credentials, progress func(engine.Progress)) error
}

// mostLength limits the descriptions of a job's images, in bytes. All processes of this program
// read them with each list of the engine's containers.
const mostLength = 2 << 20

// Meter shows the progress of pulls to a person, in place of lines in the log.
type Meter interface {
	// Show shows that done of total bytes of an image are downloaded or, if unpacking is true, unpacked.
	Show(image string, unpacking bool, done, total int64)
	// Hide ends the progress of an image.
	Hide(image string)
}

// All gets several images in parallel, in the order of the requests. Equal requests are done
// once. The first failure stops the others, and its error is returned.
func All(ctx context.Context, store Store, requests []image.Request, log logrus.FieldLogger, meter Meter) ([]engine.Image, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	images := make([]engine.Image, len(requests))
	first := func(n int) int {
		return slices.IndexFunc(requests, func(r image.Request) bool { return reflect.DeepEqual(r, requests[n]) })
	}
	var wg sync.WaitGroup
	for n, r := range requests {
		if first(n) != n {
			continue
		}
		wg.Go(func() {
			var err error
			if images[n], err = Get(ctx, store, r, log, meter); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	length := 0
	for n := range requests {
		images[n] = images[first(n)]
		length += images[n].Length
	}
	if length > mostLength {
		return nil, fault.Jobf("the images of the job and its services have %s of labels and variables, and at most %s are possible; take other images, or fewer services", format.Bytes(length), format.Bytes(mostLength))
	}
	return images, nil
}

// Get makes sure that the engine has the image. The job is at fault if another attempt would
// fail in the same way: the image does not exist, or there is no access to it. Without a meter the log has
// the progress.
func Get(ctx context.Context, store Store, r image.Request, log logrus.FieldLogger, meter Meter) (engine.Image, error) {
	g := getter{Request: r, store: store, name: image.ForEngine(r.Reference), log: log, meter: meter}
	if image.IsID(r.Reference) {
		return g.local(ctx, image.Never)
	}
	log.Infof("Using effective pull policy of %s for container %s", r.Policies, r.Reference)
	var errs []error
	for n, p := range r.Policies {
		if n > 0 {
			log.Infof("Attempt #%d: Trying %q pull policy", n+1, p)
		}
		img, err := g.by(ctx, p)
		if err == nil {
			with := ""
			if d := Digest(img, r.Reference); d != "" {
				with = " with digest " + d
			}
			log.Infof("Using docker image %s for %s%s ...", img.ID, r.Reference, with)
			return img, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || engine.IsUnreachable(err) {
			break
		}
		if n+1 < len(r.Policies) {
			log.Warnf("Failed to pull image with policy %q: %v", p, err)
		}
	}
	return engine.Image{}, failure(r, errs)
}

// failure returns the last policy's error. The job is at fault only if all errors are its fault,
// because otherwise another attempt may succeed.
func failure(r image.Request, errs []error) error {
	if len(errs) == 0 {
		return fmt.Errorf("image %q: there is no pull policy", r.Reference)
	}
	err := fmt.Errorf("failed to pull image %q with specified policies %s: %w", r.Reference, r.Policies, errs[len(errs)-1])
	if slices.ContainsFunc(errs, func(err error) bool { return fault.ClassOf(err) != fault.Job }) {
		return fault.Systemf("%w", err)
	}
	return err
}

// Digest returns a digest of the image, preferably in the repository of ref: one image can have several
// names. It is empty if the image has none.
func Digest(img engine.Image, ref string) string {
	if len(img.Digests) == 0 {
		return ""
	}
	best := img.Digests[0]
	for _, d := range img.Digests {
		if name, _, _ := strings.Cut(d, "@"); image.Path(name) == image.Path(ref) {
			best = d
			break
		}
	}
	return best
}

// getter handles one request.
type getter struct {
	image.Request
	store Store
	name  string // the name for requests to the engine
	log   logrus.FieldLogger
	meter Meter // may be nil
}

// inspect looks up the local image.
func (g getter) inspect(ctx context.Context) (engine.Image, error) {
	img, err := g.store.InspectImage(ctx, g.name, g.Platform)
	if engine.IsTooLarge(err) {
		err = fault.Jobf("image %s has too many or too long labels and variables: %w", fault.Quote(g.Reference), err)
	}
	return img, err
}

// local looks up the image without a pull.
func (g getter) local(ctx context.Context, p image.Policy) (engine.Image, error) {
	img, err := g.inspect(ctx)
	switch {
	case err == nil && !runsOn(img.Platform, g.Platform):
		return img, fault.Jobf("image %q is on this machine for the platform %s, not for %s, and the pull policy is %q", g.Reference, img.Platform, g.Platform, p)
	case engine.IsNotFound(err) && image.IsID(g.Reference):
		return img, fault.Jobf("image %q is not on this machine, and an image given by its ID cannot be pulled", g.Reference)
	case engine.IsNotFound(err) && g.Platform != "": // engines from API 1.49 on compare the platform themselves
		return img, fault.Jobf("image %q is not on this machine for the platform %s, and the pull policy is %q", g.Reference, g.Platform, p)
	case engine.IsNotFound(err):
		return img, fault.Jobf("image %q is not on this machine and the pull policy is %q", g.Reference, p)
	}
	return img, err
}

func (g getter) by(ctx context.Context, p image.Policy) (engine.Image, error) {
	switch p {
	case image.Never:
		return g.local(ctx, p)
	case image.IfNotPresent:
		img, err := g.inspect(ctx)
		if err == nil && runsOn(img.Platform, g.Platform) {
			g.log.Infof("Using locally found image version due to %q pull policy", p)
			return img, nil
		}
		if err != nil && !engine.IsNotFound(err) {
			return img, err
		}
	}
	return g.pull(ctx)
}

// runsOn reports whether an image for the platform has is also one for want. A platform without
// a variant matches every variant.
func runsOn(has, want string) bool {
	return want == "" || has == want || strings.HasPrefix(has, want+"/") || strings.HasPrefix(want, has+"/")
}
