package executor

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/storage"
)

// Service is a container that runs beside the job's, on its network and on its
// storage volume.
type Service struct {
	Image       image.Request
	Aliases     []string // those the job gave; the derived ones are added
	Entrypoint  []string // nil keeps the image's own
	Command     []string // nil keeps the image's own
	User        string
	Environment []string // NAME=value, the job's own included
	Runtime     string
}

// running is a service that was started.
type running struct {
	id, name string
	image    string
	aliases  []string
	port     int
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

func (x *Executor) startService(ctx context.Context, p Plan, j *journal.Journal, s Service, img engine.Image, name string) (running, error) {
	aliases, err := service.Aliases(s.Image.Reference, s.Aliases)
	if err != nil {
		return running{}, err
	}
	env := withToolDefaults(append(s.Environment[:len(s.Environment):len(s.Environment)], p.Storage.Environment()...))
	entry := entrypoint(s.Entrypoint, img.Entrypoint)
	command := s.Command
	if command == nil && s.Entrypoint == nil {
		command = img.Cmd // the engine drops the image's command once an entrypoint is given
	}
	id, err := x.createContainer(ctx, j, engine.Container{
		Name: name, Image: img.ID, Platform: s.Image.Platform, Runtime: s.Runtime,
		User: s.User, Entrypoint: entry, Cmd: command, Env: env,
		Labels: p.Identity.Labels("service"),
		Mounts: append(x.toolMounts(p),
			engine.Mount{Kind: engine.Bind, Source: filepath.Join(x.folder(p.Identity), sharedFolder, storageFile), Target: storage.SystemConfig, ReadOnly: true},
			engine.Mount{Kind: engine.Volume, Source: p.Identity.Name(), Target: storage.Mountpoint},
		),
		Network: p.Identity.Name(), Aliases: aliases,
		Resources: x.resources(p),
	})
	if err != nil {
		return running{}, x.explain(ctx, s.Runtime, err)
	}
	// The folder is there before the service's first process looks for it.
	if err := x.Engine.MakeFolder(ctx, id, p.Storage.TMPDIR, 0o1777); err != nil {
		return running{}, err
	}
	x.Log.Infof("Starting service %s ...", s.Image.Reference)
	if err := x.Engine.StartContainer(ctx, id); err != nil {
		return running{}, x.explain(ctx, s.Runtime, err)
	}
	return running{id: id, name: name, image: s.Image.Reference, aliases: aliases, port: service.Port(env, img.Ports)}, nil
}

// awaitServices waits until every service that has a port accepts connections on
// it, as the job will reach it, and warns of one that does not in time.
func (x *Executor) awaitServices(ctx context.Context, build string, p Plan, services []running) error {
	order := agent.AwaitOrder{Timeout: p.ServiceTimeout}
	var asked []running
	for _, s := range services {
		if s.port > 0 && p.ServiceTimeout > 0 {
			order.Addresses = append(order.Addresses, fmt.Sprintf("%s:%d", s.name, s.port))
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	x.Log.Info("Waiting for services to be up and running ...")
	began := time.Now()
	var answer agent.AwaitReport
	if err := x.ask(ctx, build, agent.Command("await"), order, &answer); err != nil {
		return fmt.Errorf("waiting for services: %w", err)
	}
	for n, s := range asked {
		if answer.Errors[n] == "" {
			continue
		}
		x.Log.Warnf("Service %s probably didn't start properly: no connection to port %d within %s: %s", s.image, s.port, time.Since(began).Round(time.Second), answer.Errors[n])
		if text, err := x.Engine.Logs(ctx, s.id, 20); err == nil {
			for line := range strings.Lines(text) {
				x.Log.Warnf("  %s: %s", s.image, strings.TrimRight(line, "\r\n"))
			}
		} else if engine.IsNotFound(err) {
			x.Log.Warnf("  %s: its container has ended", s.image)
		}
	}
	return nil
}
