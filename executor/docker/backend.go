// Package docker is the backend on a Docker Engine: it makes what a job's plan asks
// for, and has the kinds of resources that are removed again.
package docker

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/pulled"
	"gitlab-sysbox-executor/executor/room"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// Backend is one Docker Engine. It is for use by several goroutines at once.
type Backend struct {
	Engine *engine.Engine
	Dir    statedir.Dir
	Kept   *kept.Store
	Pulled *pulled.Store
	Shared *shared.Store
	Room   *room.Keeper
	Log    logrus.FieldLogger
}

// Host is the engine's address.
func (b *Backend) Host() string { return b.Engine.Host() }

// Same tells whether an address is this engine's, too.
func (b *Backend) Same(host string) bool { return engine.SameHost(host, b.Engine.Host()) }

// Meaning is what the engine's answer to a request means to a removal.
func (b *Backend) Meaning(err error) teardown.Meaning { return meaning(err) }

// Inside is one of a job's containers as its agent is spoken to; name is what
// messages call it.
func (b *Backend) Inside(id, name string) agentclient.Container { return Inside(b.Engine, id, name) }

// Inside is a container as its agent is spoken to; name is what messages call it.
func Inside(e *engine.Engine, id, name string) agentclient.Container {
	return agentclient.Container{Name: name, Exec: func(ctx context.Context, command []string) (agentclient.Stream, error) {
		s, err := e.Exec(ctx, id, "0:0", "/", command)
		if err != nil {
			return nil, err // not a nil *engine.Exec in an interface
		}
		return s, nil
	}}
}

// JobContainer is what messages call the container of the job's own scripts.
const JobContainer = "the job's container"

// Service is the state of a service's container.
func (b *Backend) Service(ctx context.Context, id string) (servicelog.State, error) {
	s, err := b.Engine.State(ctx, id)
	if engine.IsNotFound(err) {
		return servicelog.State{Gone: true}, nil
	}
	return servicelog.State{Running: s.Running, ExitCode: s.ExitCode, OutOfMemory: s.OutOfMem}, err
}

// Tail is the end of a container's log, at most so many lines.
func (b *Backend) Tail(ctx context.Context, id string, lines int) (string, error) {
	return b.Engine.Logs(ctx, id, lines)
}

// Lines hands each line of a container's log since that time to each.
func (b *Backend) Lines(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error {
	err := b.Engine.EachLog(ctx, id, since, follow, each)
	if engine.IsNotFound(err) {
		return nil
	}
	return err
}

// services is the services' part of the job's log.
func (b *Backend) services(i job.Identity) *servicelog.Log {
	return servicelog.Open(b.Dir.Job(i.Name()), b, b.Log)
}
