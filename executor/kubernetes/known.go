package kubernetes

import (
	"context"
	"slices"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imageconfig"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/observe"
)

// known is what the executor knows of a job's images before it makes the pod.
type known struct {
	logins []login
	// images are the configurations of Plan.Images; nil if they are not read.
	images []imageconfig.Config
}

// image is the configuration of the nth of Plan.Images; zero if it is not known.
func (k known) image(n int) imageconfig.Config {
	if n < len(k.images) {
		return k.images[n]
	}
	return imageconfig.Config{}
}

// readTime bounds the time for the registries to answer.
const readTime = 10 * time.Second

// learn finds the job's credentials, and reads the configurations of its images if the administrator wants that. An image
// that cannot be read has no configuration.
func (b *Backend) learn(ctx context.Context, p job.Plan) (k known, err error) {
	if k.logins, err = b.credentials(ctx, p); err != nil || !b.Config.ReadImages {
		return k, err
	}
	defer observe.Begin(ctx, observe.Images)()
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	requests := p.Images()
	k.images = make([]imageconfig.Config, len(requests))
	var reading sync.WaitGroup
	for n, r := range requests {
		reading.Go(func() {
			var login image.Credentials
			if i := slices.IndexFunc(k.logins, loginFor(r.Reference)); i >= 0 {
				login = k.logins[i].Credentials
			}
			found, err := imageconfig.Read(ctx, r.Reference, login)
			if err != nil {
				b.Log.Warnf("The settings of image %s cannot be read from its registry: %s. Its entrypoint does not run, and its label and command do not boot systemd.", r.Reference, fault.Brief(err.Error()))
				return
			}
			k.images[n] = found
		})
	}
	reading.Wait()
	return k, nil
}

// loginFor matches the credentials for an image.
func loginFor(reference string) func(login) bool {
	key := keyOf(reference)
	return func(l login) bool { return l.key == key }
}

// processOf is what an image says about its first process.
func processOf(img imageconfig.Config) jobcontainer.ImageProcess {
	return jobcontainer.ImageProcess{Entrypoint: img.Entrypoint, Command: img.Command, Systemd: img.Labels[job.LabelSystemd]}
}
