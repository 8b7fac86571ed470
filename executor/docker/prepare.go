package docker

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/imagepull"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/servicelog"
)

// Ahead asks the engine about itself. Engine 20.10 starts two programs to find its answer.
func (b *Backend) Ahead(ctx context.Context) {
	if b.info != nil {
		return
	}
	b.info = sync.OnceValues(func() (engine.Info, error) { return b.Engine.Info(ctx) })
	go b.info()
}

// Prepare makes the resources of a job, and returns what later stages need. Each resource
// is in the journal before it is requested. After an error the caller removes what was
// made.
func (b *Backend) Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (job.Environment, error) {
	b.Ahead(ctx)
	info, err := b.info()
	b.info = nil // another job asks again
	if err != nil {
		return job.Environment{}, err
	}
	if err := errors.Join(keepDataRoot(p, info.RootDir), checkIPv6(p, info)); err != nil {
		return job.Environment{}, err
	}
	// Before the pulls, because it is not known how much of the disk they need.
	a, err := b.admit(ctx, p, info)
	if err != nil {
		return job.Environment{}, err
	}
	images, release, err := b.pull(ctx, p, a)
	if err != nil {
		return job.Environment{}, err
	}
	defer release() // by then the containers hold the images
	m, release, err := b.makeParts(ctx, p, a, images, info, j)
	if err != nil {
		return job.Environment{}, err
	}
	defer release() // by then the containers hold the parts
	main, services, err := b.start(ctx, m, images)
	if err != nil {
		return job.Environment{}, err
	}
	log := b.services(p.Identity)
	if p.ServiceLogs {
		defer log.Follow(ctx, running(services))()
	}
	return b.settle(ctx, m, main, services, log)
}

// pull makes sure that the engine has the images of the job and its services until release
// is called. It stops when the disk becomes nearly full.
func (b *Backend) pull(ctx context.Context, p job.Plan, a *admitted) (images []engine.Image, release func(), err error) {
	defer observe.Begin(ctx, observe.Images)()
	pulling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer b.Room.Watch(ctx, a.engineFolder, stop)()
	images, release, err = b.Pulled.All(pulling, p.Images())
	if err != nil {
		return nil, nil, err
	}
	observe.Image(ctx, p.Image.Reference, cmp.Or(imagepull.Digest(images[0], p.Image.Reference), images[0].ID))
	// Refuse an impossible request now, before there are resources to remove.
	if _, err = jobcontainer.RequestWord(jobcontainer.InitRequest(p, first(p, images[0], nil, false))); err == nil {
		err = a.again(ctx)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return images, release, nil
}

// start makes and starts the job container and its services, all in parallel.
func (b *Backend) start(ctx context.Context, m *made, images []engine.Image) (main started, services []runningService, err error) {
	defer observe.Begin(ctx, observe.Start)()
	var starting sync.WaitGroup
	var failed error
	starting.Go(func() { services, failed = b.startServices(ctx, m, images[1:]) })
	main, err = b.startJob(ctx, m, images[0])
	starting.Wait()
	if err != nil && failed != nil {
		b.Log.Warnf("The job's container failed to start, too: %v", err)
	}
	return main, services, cmp.Or(failed, err)
}

// settle waits until the job's containers are ready, inspects them, and starts the helper
// container.
func (b *Backend) settle(ctx context.Context, m *made, main started, services []runningService, log *servicelog.Log) (none job.Environment, err error) {
	if err := b.waiter(main, m).Await(ctx, running(services), log); err != nil {
		return none, err
	}
	found, err := b.inspect(ctx, m, main, services)
	if err != nil {
		return none, err
	}
	settled := jobcontainer.Settled(m.Plan, found, m.generation.Stores(), b.Log)
	if err := b.settleDisk(ctx, m, main, settled); err != nil {
		return none, err
	}
	m.generation.Report(b.Log, settled, found.UID)
	if err := b.noteVolume(m, settled.Driver, found); err != nil {
		return none, err
	}
	e := job.Environment{
		Container: main.id, First: main.agent(), Image: m.Image.Reference, Shell: found.Shell, ANSIQuoting: found.ANSIQuoting, User: main.setup.User,
		WorkingDir: main.asked.WorkingDir, Init: !systemdRuns(main.asked), NoFile: jobcontainer.SoftNoFile(m.Resources),
		Enforced: jobcontainer.Set(m.Plan, settled), TMPDIR: settled.TMPDIR, Watch: m.watch(), Limits: main.limits(m),
		Disk: m.disk, MostKept: m.Volume.MostKept, Builds: m.taken.Builds, Tools: toolsPath(m.Helper), EngineFolder: m.engineFolder, Services: running(services),
	}
	if e.Helper, err = b.startHelper(ctx, m, main, found); err != nil {
		return none, fault.Systemf("the helper container: %w", err) // the administrator chose the image
	}
	return e, nil
}

// inspect inspects the job container and the services from inside.
func (b *Backend) inspect(ctx context.Context, m *made, main started, services []runningService) (agent.InspectResponse, error) {
	defer observe.Begin(ctx, observe.Inspect)()
	found, err := b.examineJob(ctx, m, main)
	if err == nil {
		err = b.examineServices(ctx, m, services)
	}
	return found, err
}

// intent is the journal entry of a resource that is about to be requested.
func intent(kind journal.Kind, name string) journal.Resource {
	return journal.Resource{Kind: kind, Name: name}
}

// answered notes in the journal that the engine has answered, unless the engine may still
// be making the resource.
func answered(j *journal.Journal, kind journal.Kind, name string, err error) {
	if !engine.IsUnreachable(err) {
		j.Answered(kind, name)
	}
}

// mark adds the label that names the state folder to a resource's labels.
func (b *Backend) mark(labels map[string]string) map[string]string {
	labels[job.LabelState] = b.Dir.ID()
	return labels
}

// createVolume makes a volume after it has written it to the journal.
func (b *Backend) createVolume(ctx context.Context, j *journal.Journal, name string, options, labels map[string]string) error {
	if err := j.Intend(intent(journal.Volume, name)); err != nil {
		return err
	}
	err := b.Engine.CreateVolume(ctx, name, options, b.mark(labels))
	answered(j, journal.Volume, name, err)
	return err
}

// createContainer makes a container after it has written it to the journal, and explains a refusal.
func (b *Backend) createContainer(ctx context.Context, j *journal.Journal, c engine.Container) (id string, err error) {
	if err := j.Intend(intent(journal.Container, c.Name)); err != nil {
		return "", err
	}
	c.Labels = b.mark(c.Labels)
	// If the engine is slow to make the container, a cleanup may remove the job's volumes
	// before the engine looks for them. The engine then makes them again.
	for _, r := range j.Resources() {
		for n, m := range c.Mounts {
			if r.Kind == journal.Volume && m.Kind == engine.Volume && m.Source == r.Name {
				c.Mounts[n].Labels = c.Labels
			}
		}
	}
	c.Labels = job.ContainerLabels(c.Labels)
	id, err = b.Engine.CreateContainer(ctx, c)
	if answered(j, journal.Container, c.Name, err); err != nil {
		return "", b.Engine.ExplainRuntime(ctx, c.Runtime, err)
	}
	// Before the start: an engine that dies while it starts a container forgets it.
	return id, j.Made(journal.Container, c.Name, id)
}
