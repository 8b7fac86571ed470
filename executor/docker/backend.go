// Package docker is the backend for a Docker Engine. It creates the resources of a
// job's plan, and defines how each kind of resource is removed.
package docker

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/agentsocket"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/pulled"
	"gitlab-sysbox-executor/executor/room"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// Backend uses one Docker Engine. It is safe for concurrent use, except that it prepares one job at a time.
type Backend struct {
	Engine *engine.Engine
	Dir    statedir.Dir
	Kept   *kept.Store
	Pulled *pulled.Store
	Shared *shared.Store
	Room   *room.Keeper
	// ServiceGrace is the time for a service to end before it is removed; 0 kills it.
	ServiceGrace time.Duration
	Log          logrus.FieldLogger

	info func() (engine.Info, error) // what the engine says about itself; nil before Ahead
}

// Host is the engine's address.
func (b *Backend) Host() string { return b.Engine.Host() }

// Same reports whether host is the address of this engine, too.
func (b *Backend) Same(host string) bool { return engine.SameHost(host, b.Engine.Host()) }

// Meaning classifies an error of the engine for a removal.
func (b *Backend) Meaning(err error) teardown.Meaning { return meaning(err) }

// Inside gives access to the agent in a container. The agent starts processes itself if it is the container's
// first process, which is much faster; otherwise, and if it does not answer, the engine starts them. Messages call
// the container name.
func (b *Backend) Inside(id string, first owner.Process, name string) agentclient.Container {
	return agentclient.Container{Name: name, Remote: !b.Room.Local, Exec: func(ctx context.Context, command []string) (agentclient.Stream, error) {
		if first.PID != 0 {
			p, err := agentsocket.Start(ctx, first, command)
			if err == nil {
				b.Log.Debugf("The agent in %s starts %q.", name, command)
				return p, nil
			} else if ctx.Err() != nil {
				return nil, err
			}
			b.Log.Debugf("The agent in %s does not start %q, so the engine does: %v", name, command, err)
		}
		s, err := b.Engine.Exec(ctx, id, "0:0", "/", command)
		if err != nil {
			return nil, err // not a nil *engine.Exec in an interface
		}
		return s, nil
	}}
}

// Ends reports whether a container has ended or ends within a time.
func (b *Backend) Ends(ctx context.Context, id string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := b.Engine.AwaitStop(ctx, id)
	return err == nil || engine.IsNotFound(err)
}

// WhyEnded is nil: the engine ends no container on its own account.
func (b *Backend) WhyEnded(context.Context, string) error { return nil }

// EndedByItself reports whether a container has ended although nobody asked the engine for that.
func (b *Backend) EndedByItself(ctx context.Context, id string) bool {
	return b.Engine.EndedByItself(ctx, id)
}

// Service returns the state of a service's container.
func (b *Backend) Service(ctx context.Context, id string) (servicelog.State, error) {
	s, err := b.Engine.State(ctx, id)
	if engine.IsNotFound(err) {
		return servicelog.State{Gone: true}, nil
	}
	return servicelog.State{Running: s.Running, ExitCode: s.ExitCode, OutOfMemory: s.OutOfMem, Lived: s.Lived}, err
}

// Tail returns the end of a container's log, at most this many lines.
func (b *Backend) Tail(ctx context.Context, id string, lines int) (string, error) {
	return b.Engine.Logs(ctx, id, lines)
}

// Lines calls each for every line of a container's log that is newer than since.
func (b *Backend) Lines(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error {
	err := b.Engine.EachLog(ctx, id, since, follow, each)
	if engine.IsNotFound(err) {
		return nil
	}
	return err
}

// services opens the log of the job's services.
func (b *Backend) services(i job.Identity) *servicelog.Log {
	return servicelog.Open(b.Dir.Job(i.Name()), b, b.Log)
}
