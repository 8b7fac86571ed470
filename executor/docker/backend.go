// Package docker is the backend on a Docker Engine: it makes what a job's plan asks
// for, and has the kinds of resources that are removed again.
package docker

import (
	"context"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// Backend is one Docker Engine. It is for use by several goroutines at once.
type Backend struct {
	Engine *engine.Engine
	Dir    statedir.Dir
	// Used notes that a job had these volumes up to now.
	Used func(volumes []string)
	Log  logrus.FieldLogger
}

// Host is the engine's address.
func (b *Backend) Host() string { return b.Engine.Host() }

// Same tells whether an address is this engine's, too.
func (b *Backend) Same(host string) bool { return engine.SameHost(host, b.Engine.Host()) }

// Meaning is what the engine's answer to a request means to a removal.
func (b *Backend) Meaning(err error) teardown.Meaning { return meaning(err) }

// Inside is one of a job's containers as its agent is spoken to; name is what
// messages call it.
func (b *Backend) Inside(id, name string) agentclient.Container {
	return agentclient.Container{Name: name, Exec: func(ctx context.Context, command []string) (agentclient.Stream, error) {
		e, err := b.Engine.Exec(ctx, id, "0:0", "/", command)
		if err != nil {
			return nil, err // not a nil *engine.Exec in an interface
		}
		return e, nil
	}}
}

// JobContainer is what messages call the container of the job's own scripts.
const JobContainer = "the job's container"
