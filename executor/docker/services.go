package docker

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/spec"
)

// runningService is a service that was started.
type runningService struct {
	job.Running
	asked engine.Container // requested from the engine
}

// startServices starts all services in parallel. After an error, the journal has the
// services that were started, and they are removed with the job.
func (b *Backend) startServices(ctx context.Context, m *made, images []engine.Image) ([]runningService, error) {
	all := make([]runningService, len(m.Services))
	failed := make([]error, len(m.Services))
	var wg sync.WaitGroup
	for n, s := range m.Services {
		wg.Go(func() {
			all[n], failed[n] = b.startService(ctx, m, s, images[n], serviceName(m.Identity, n))
		})
	}
	wg.Wait()
	for n, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", m.Services[n].Image.Reference, err)
		}
	}
	return all, nil
}

// serviceName is the name of the nth service's container.
func serviceName(i job.Identity, n int) string { return fmt.Sprintf("%s-s%d", i.Name(), n) }

// running converts services to what later stages need.
func running(all []runningService) []job.Running {
	services := make([]job.Running, len(all))
	for n, s := range all {
		services[n] = s.Running
	}
	return services
}

// startService makes and starts one service.
func (b *Backend) startService(ctx context.Context, m *made, s job.Service, img engine.Image, name string) (runningService, error) {
	var none runningService
	r, err := b.serviceContainer(m, s, img, name)
	if err != nil {
		return none, err
	}
	if r.ID, err = b.createContainer(ctx, m.journal, r.asked); engine.IsWithoutCommand(err) {
		return none, fault.Jobf("its image has no command: set command: in .gitlab-ci.yml")
	} else if err != nil {
		return none, err
	}
	if err := b.makeFolders(ctx, r.ID, m, r.asked, cmp.Or(r.asked.User, img.User)); err != nil {
		return none, err
	}
	if err := b.fitSubIDs(ctx, r.ID); err != nil {
		return none, err
	}
	if err := b.startContainer(ctx, m, r.ID); err != nil {
		if err := explainSystemd(s.Image.Reference, r.asked, err); fault.ClassOf(err) == fault.Job {
			return none, err
		}
		if engine.IsImpossible(err) { // no such command or user in the image
			return none, fault.Jobf("%s", fault.Brief(err.Error()))
		}
		return none, b.Engine.ExplainRuntime(ctx, s.Runtime, err)
	}
	return r, b.remakeTMPDIR(ctx, r.ID, m)
}

// healthEvery is how often an image's own health check runs until it succeeds.
const healthEvery = time.Second

// serviceContainer writes the settings of a service's container and returns its
// description.
func (b *Backend) serviceContainer(m *made, s job.Service, img engine.Image, name string) (r runningService, err error) {
	r.Running = job.Running{Name: name, Image: service.Version(s.Image.Reference), Label: s.Label}
	b.Log.Infof("Starting service %s...", r.Image)
	user := cmp.Or(s.User, img.User)
	settings := m.storageFor(user)
	files, err := b.writeSettings(m.Identity, name, settings, jobcontainer.CertainLimits(s.Resources))
	if err != nil {
		return r, err
	}
	env := jobcontainer.Environment(s.Environment, settings, user)
	ports, asked, err := service.Ports(append(img.Env[:len(img.Env):len(img.Env)], env...), img.Ports)
	if err != nil {
		return r, err
	}
	r.Ports, r.Health = ports, img.HasHealthcheck && !asked
	c := m.container(name, s.Runtime, job.RoleService, img, env, files)
	if c.Rights, err = spec.ServiceRights(m.Hardening); err != nil {
		return r, err
	}
	c.Platform, c.User, c.Entrypoint, c.Cmd, c.Aliases = s.Image.Platform, s.User, s.Entrypoint, s.Command, s.Aliases
	c.Tmpfs, c.Resources = spec.Tmpfs(s.Tmpfs), spec.Resources(s.Resources)
	c.Keep = true // so that the log and exit code of a service that dies can be reported
	if r.Health && m.ServiceTimeout > 0 {
		c.Health = &engine.HealthPace{Every: healthEvery, Period: m.ServiceTimeout}
	}
	err = b.arrangeSystemd(m.Plan, jobcontainer.FirstProcess{Name: r.Image, Systemd: s.Systemd, Entrypoint: s.Entrypoint, Command: s.Command}, img, &c)
	r.asked = c
	return r, err
}
