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
	"gitlab-sysbox-executor/executor/sysbox"
)

// running is a service that was started, as later stages need to know it.
type running struct {
	ID    string `json:"id"`
	Name  string `json:"name"`  // of the container
	Image string `json:"image"` // as the job log names it
	Label string `json:"label"`
	// Ports are those of which one that answers tells that it is ready.
	Ports []int `json:"ports,omitempty"`
	// Health tells that the image's own health check is to be asked instead.
	Health bool `json:"health,omitempty"`
	// asked is what was asked of the engine; only prepare has it.
	asked engine.Container
}

func serviceName(i Identity, n int) string { return fmt.Sprintf("%s-s%d", i.Name(), n) }

// startServices makes all services at once. What was started before an error is
// in the journal, and is removed with the job.
func (x *Executor) startServices(ctx context.Context, p Plan, j *journal.Journal, images []engine.Image) ([]running, error) {
	started := make([]running, len(p.Services))
	failed := make([]error, len(p.Services))
	var wg sync.WaitGroup
	for n, s := range p.Services {
		wg.Go(func() {
			started[n], failed[n] = x.startService(ctx, p, j, s, images[n], serviceName(p.Identity, n))
		})
	}
	wg.Wait()
	for n, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", p.Services[n].Image.Reference, err)
		}
	}
	return started, nil
}

// healthEvery is how often an image's own health check runs until it succeeds.
const healthEvery = time.Second

func (x *Executor) startService(ctx context.Context, p Plan, j *journal.Journal, s Service, img engine.Image, name string) (running, error) {
	started := running{Name: name, Image: service.Version(s.Image.Reference), Label: s.Label}
	x.Log.Infof("Starting service %s...", started.Image)
	user := firstOf(s.User, img.User)
	storage := p.Storage
	storage.ImageStore = p.images.storeOf(storage.Driver, user)
	settings, err := x.writeSettings(p.Identity, name, storage, certainLimits(s.Resources))
	if err != nil {
		return running{}, err
	}
	env := withToolDefaults(withStorage(s.Environment, storage), user)
	ports, asked, err := service.Ports(append(img.Env[:len(img.Env):len(img.Env)], env...), img.Ports)
	if err != nil {
		return running{}, err
	}
	started.Ports, started.Health = ports, img.HasHealthcheck && !asked
	rights, err := serviceRights(p)
	if err != nil {
		return running{}, err
	}
	c := engine.Container{
		Name: name, Image: img.ID, Platform: s.Image.Platform, Runtime: s.Runtime,
		User: s.User, Entrypoint: s.Entrypoint, Cmd: s.Command, Env: sysbox.Unset(env, img.Env),
		Labels:  labels(p, job.RoleService),
		Mounts:  append(x.sharedMounts(p), settings...),
		Tmpfs:   tmpfs(s.Tmpfs),
		Network: p.Identity.Name(), Aliases: s.Aliases,
		Names:      names(p.Network),
		Resources:  resources(s.Resources),
		Rights:     rights,
		LogOptions: pairs(p.Container.LogOptions),
		// One that dies leaves its log and its exit code, to be told.
		Keep: true,
	}
	if err := x.arrangeSystemd(p, firstProcess{Name: started.Image, Systemd: s.Systemd, Entrypoint: s.Entrypoint, Command: s.Command}, img, &c); err != nil {
		return running{}, err
	}
	started.asked = c
	if started.Health && p.ServiceTimeout > 0 {
		c.Health = &engine.HealthPace{Every: healthEvery, Period: p.ServiceTimeout}
	}
	if started.ID, err = x.createContainer(ctx, j, c); engine.IsWithoutCommand(err) {
		return running{}, fault.Jobf("its image says nothing of what to run: write command: in .gitlab-ci.yml")
	} else if err != nil {
		return running{}, x.explain(ctx, s.Runtime, err)
	}
	if err := x.makeFolders(ctx, started.ID, p, c, firstOf(c.User, img.User)); err != nil {
		return running{}, err
	}
	if err := x.fitSubIDs(ctx, started.ID); err != nil {
		return running{}, err
	}
	if err := x.Engine.StartContainer(ctx, started.ID); err != nil {
		if err := explainSystemd(s.Image.Reference, c, err); fault.ClassOf(err) == fault.Job {
			return running{}, err
		}
		if engine.IsImpossible(err) { // no such command or user in the image
			return running{}, fault.Jobf("%s", fault.Brief(err.Error()))
		}
		return running{}, x.explain(ctx, s.Runtime, err)
	}
	if err := x.remakeTMPDIR(ctx, started.ID, p); err != nil {
		return running{}, err
	}
	return started, nil
}
