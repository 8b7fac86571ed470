package executor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/sysbox"
)

// started is a service as prepare knows it.
type started struct {
	job.Running
	asked engine.Container // of the engine
}

func serviceName(i Identity, n int) string { return fmt.Sprintf("%s-s%d", i.Name(), n) }

// startServices makes all services at once. What was started before an error is
// in the journal, and is removed with the job.
func (x *Executor) startServices(ctx context.Context, p plan, j *journal.Journal, images []engine.Image) ([]started, error) {
	all := make([]started, len(p.Services))
	failed := make([]error, len(p.Services))
	var wg sync.WaitGroup
	for n, s := range p.Services {
		wg.Go(func() {
			all[n], failed[n] = x.startService(ctx, p, j, s, images[n], serviceName(p.Identity, n))
		})
	}
	wg.Wait()
	for n, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", p.Services[n].Image.Reference, err)
		}
	}
	return all, nil
}

// healthEvery is how often an image's own health check runs until it succeeds.
const healthEvery = time.Second

func (x *Executor) startService(ctx context.Context, p plan, j *journal.Journal, s job.Service, img engine.Image, name string) (started, error) {
	made := started{Running: job.Running{Name: name, Image: service.Version(s.Image.Reference), Label: s.Label}}
	x.Log.Infof("Starting service %s...", made.Image)
	user := firstOf(s.User, img.User)
	storage := p.Storage
	storage.ImageStore = p.images.StoreOf(storage.Driver, user)
	settings, err := x.writeSettings(p.Identity, name, storage, certainLimits(s.Resources))
	if err != nil {
		return started{}, err
	}
	env := withToolDefaults(withStorage(s.Environment, storage), user)
	ports, asked, err := service.Ports(append(img.Env[:len(img.Env):len(img.Env)], env...), img.Ports)
	if err != nil {
		return started{}, err
	}
	made.Ports, made.Health = ports, img.HasHealthcheck && !asked
	rights, err := spec.ServiceRights(p.Hardening)
	if err != nil {
		return started{}, err
	}
	c := engine.Container{
		Name: name, Image: img.ID, Platform: s.Image.Platform, Runtime: s.Runtime,
		User: s.User, Entrypoint: s.Entrypoint, Cmd: s.Command, Env: sysbox.Unset(env, img.Env),
		Labels:  labels(p, job.RoleService),
		Mounts:  append(x.sharedMounts(p), settings...),
		Tmpfs:   spec.Tmpfs(s.Tmpfs),
		Network: p.Identity.Name(), Aliases: s.Aliases,
		Names:      spec.Names(p.Network),
		Resources:  spec.Resources(s.Resources),
		Rights:     rights,
		LogOptions: p.logOptions,
		// One that dies leaves its log and its exit code, to be told.
		Keep: true,
	}
	if err := x.arrangeSystemd(p, firstProcess{Name: made.Image, Systemd: s.Systemd, Entrypoint: s.Entrypoint, Command: s.Command}, img, &c); err != nil {
		return started{}, err
	}
	made.asked = c
	if made.Health && p.ServiceTimeout > 0 {
		c.Health = &engine.HealthPace{Every: healthEvery, Period: p.ServiceTimeout}
	}
	if made.ID, err = x.createContainer(ctx, j, c); engine.IsWithoutCommand(err) {
		return started{}, fault.Jobf("its image says nothing of what to run: write command: in .gitlab-ci.yml")
	} else if err != nil {
		return started{}, x.Engine.ExplainRuntime(ctx, s.Runtime, err)
	}
	if err := x.makeFolders(ctx, made.ID, p, c, firstOf(c.User, img.User)); err != nil {
		return started{}, err
	}
	if err := x.fitSubIDs(ctx, made.ID); err != nil {
		return started{}, err
	}
	if err := x.Engine.StartContainer(ctx, made.ID); err != nil {
		if err := explainSystemd(s.Image.Reference, c, err); fault.ClassOf(err) == fault.Job {
			return started{}, err
		}
		if engine.IsImpossible(err) { // no such command or user in the image
			return started{}, fault.Jobf("%s", fault.Brief(err.Error()))
		}
		return started{}, x.Engine.ExplainRuntime(ctx, s.Runtime, err)
	}
	if err := x.remakeTMPDIR(ctx, made.ID, p); err != nil {
		return started{}, err
	}
	return made, nil
}

// runningServices are the services as later stages know them.
func runningServices(all []started) []job.Running {
	services := make([]job.Running, len(all))
	for n, s := range all {
		services[n] = s.Running
	}
	return services
}
