package docker

import (
	"context"
	"errors"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/servicelog"
)

// Prepare makes what the job is to have, and tells what later stages need of it. Each
// resource is in the journal before it is asked for; after an error the caller removes
// what there is by then.
func (b *Backend) Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (job.Environment, error) {
	info, err := b.Engine.Info(ctx)
	if err != nil {
		return job.Environment{}, err
	}
	if err := errors.Join(keepDataRoot(p, info.RootDir), checkIPv6(p, info)); err != nil {
		return job.Environment{}, err
	}
	// Before the pulls: what they take of the disk is not known beforehand.
	a, err := b.admit(ctx, p, info)
	if err != nil {
		return job.Environment{}, err
	}
	images, release, err := b.pull(ctx, p, a)
	if err != nil {
		return job.Environment{}, err
	}
	defer release() // by then containers have them
	m, release, err := b.makeParts(ctx, p, a, images, info, j)
	if err != nil {
		return job.Environment{}, err
	}
	defer release() // by then it is the containers that hold them
	services, err := b.startServices(ctx, m, images[1:])
	if err != nil {
		return job.Environment{}, err
	}
	log := b.services(p.Identity)
	if p.ServiceLogs {
		defer log.Follow(ctx, running(services))()
	}
	main, err := b.startJob(ctx, m, images[0])
	if err != nil {
		return job.Environment{}, err
	}
	return b.settle(ctx, m, main, services, log)
}

// pull has the images of the job and its services in the engine's store until release is
// called. It stops when the disk becomes nearly full.
func (b *Backend) pull(ctx context.Context, p job.Plan, a *admitted) (images []engine.Image, release func(), err error) {
	pulling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer b.Room.Watch(ctx, a.engineFolder, stop)()
	images, release, err = b.Pulled.All(pulling, p.Images())
	if err != nil {
		return nil, nil, err
	}
	// What cannot be made is refused before there is much to remove.
	if _, err = orderWord(initOrder(p, images[0], nil, false)); err == nil {
		err = a.again(ctx)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return images, release, nil
}

// settle waits until the job's containers are ready, looks into them, and makes the
// helper's.
func (b *Backend) settle(ctx context.Context, m *made, main started, services []runningService, log *servicelog.Log) (none job.Environment, err error) {
	if err := b.awaitServices(ctx, main.id, m, running(services), log); err != nil {
		return none, err
	}
	found, err := b.examineJob(ctx, m, main)
	if err != nil {
		return none, err
	}
	if err := b.examineServices(ctx, m, services); err != nil {
		return none, err
	}
	settled := b.settled(m, found)
	m.generation.Report(b.Log, settled, found.UID)
	if err := b.noteVolume(m, settled.Driver, found); err != nil {
		return none, err
	}
	e := job.Environment{
		Container: main.id, Image: m.Image.Reference, Shell: found.Shell, ANSIQuoting: found.ANSIQuoting, User: main.setup.User,
		WorkingDir: main.asked.WorkingDir, Init: !systemdRuns(main.asked), NoFile: softNoFile(m.Resources),
		Enforced: settled.Enforced(), TMPDIR: settled.TMPDIR, Watch: m.watch(), Limits: b.limitsOf(ctx, main.id, m),
		Builds: m.taken.Builds, Tools: toolsPath(m.Helper), EngineFolder: m.engineFolder, Services: running(services),
	}
	if e.Helper, err = b.startHelper(ctx, m, main, found); err != nil {
		return none, fault.Systemf("the helper container: %w", err) // the image is the administrator's
	}
	return e, nil
}

// intent is a resource as the journal has it before it is asked for.
func intent(kind journal.Kind, name string) journal.Resource {
	return journal.Resource{Kind: kind, Name: name}
}

// answered notes that the engine has answered, unless it may still be at it.
func answered(j *journal.Journal, kind journal.Kind, name string, err error) {
	if !engine.IsUnreachable(err) {
		j.Answered(kind, name)
	}
}

// mark adds to a resource's labels which state folder it belongs to.
func (b *Backend) mark(labels map[string]string) map[string]string {
	labels[job.LabelState] = b.Dir.ID()
	return labels
}

// createVolume makes a volume that is in the journal before it is asked for.
func (b *Backend) createVolume(ctx context.Context, j *journal.Journal, name string, options, labels map[string]string) error {
	if err := j.Intend(intent(journal.Volume, name)); err != nil {
		return err
	}
	err := b.Engine.CreateVolume(ctx, name, options, b.mark(labels))
	answered(j, journal.Volume, name, err)
	return err
}

// createNetwork makes a network in the same way.
func (b *Backend) createNetwork(ctx context.Context, j *journal.Journal, n engine.Network) error {
	if err := j.Intend(intent(journal.Network, n.Name)); err != nil {
		return err
	}
	n.Labels = b.mark(n.Labels)
	err := b.Engine.CreateNetwork(ctx, n)
	answered(j, journal.Network, n.Name, err)
	return err
}

// createContainer makes a container in the same way, and explains a refusal.
func (b *Backend) createContainer(ctx context.Context, j *journal.Journal, c engine.Container) (id string, err error) {
	if err := j.Intend(intent(journal.Container, c.Name)); err != nil {
		return "", err
	}
	c.Labels = b.mark(c.Labels)
	// A cleanup may remove the job's own volumes before the engine, slow with the
	// container, looks for them: it makes them anew then.
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
	// Before it is started: an engine that dies in the middle of that forgets it.
	return id, j.Made(journal.Container, c.Name, id)
}
