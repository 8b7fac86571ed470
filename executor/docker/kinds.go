package docker

import (
	"context"
	"errors"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/teardown"
)

// Kinds are the kinds of a job's resources on the engine, in the order of removal.
func (b *Backend) Kinds() []removal.Kind {
	return []removal.Kind{containers{b}, networks{b}, volumes{b}, disks{b}}
}

// round bounds one attempt to remove a network or a volume. The engine removes these at once.
const round = 3 * time.Second

// list finds a job's resources of one kind by their labels. A resource that has only the
// job's name, without the labels, is not the job's.
func list(ctx context.Context, kind journal.Kind, name string, find func(context.Context, string, string) ([]engine.Found, error)) ([]removal.Resource, error) {
	found, err := find(ctx, job.LabelName, name)
	if engine.IsNotFound(err) {
		return nil, errors.New(err.Error()) // without wrapping: a "not found" would count as an empty list
	} else if err != nil {
		return nil, err
	}
	var all []removal.Resource
	for _, f := range found {
		if owner := f.Labels[job.LabelName]; job.Owns(owner, f.Name, f.Labels) && (name == "" || name == owner) {
			all = append(all, resource(kind, owner, f))
		}
	}
	return all, nil
}

func resource(kind journal.Kind, owner string, f engine.Found) removal.Resource {
	return removal.Resource{
		Resource: journal.Resource{Kind: kind, Name: f.Name, Answered: true},
		Job:      owner, ID: f.ID, Labels: f.Labels, Made: f.Made, Paths: f.Paths,
	}
}

// remove repeats the request until the resource is gone or another attempt cannot help.
func remove(ctx context.Context, id string, ask func(context.Context, string) error) error {
	return teardown.RetryAs(ctx, meaning, func(ctx context.Context) error { return ask(ctx, id) })
}

// meaning classifies the engine's answer to a removal.
func meaning(err error) teardown.Meaning {
	switch {
	case err == nil, engine.IsNotFound(err):
		return teardown.Gone
	case engine.IsBusy(err), engine.IsUnreachable(err):
		return teardown.Busy
	case engine.IsRefused(err):
		return teardown.Failed
	}
	return teardown.Odd
}

// networks is the kind of the jobs' networks.
type networks struct{ *Backend }

func (networks) Name() journal.Kind { return journal.Network }

func (networks) Traits() removal.Traits { return removal.Traits{Asked: true, Round: round} }

func (k networks) List(ctx context.Context, job string) ([]removal.Resource, error) {
	return list(ctx, journal.Network, job, k.Engine.FindNetworks)
}

func (networks) Adopt(context.Context, string, journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{}, false, nil
}

func (networks) Examine(context.Context, *removal.Resource, removal.Recorder) {}

func (k networks) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	return remove(ctx, r.ID, k.Engine.RemoveNetwork)
}

func (k networks) Users(ctx context.Context, r removal.Resource) []string {
	users, _ := k.Engine.Users(ctx, "network", r.ID) // only used in a message
	return users
}
