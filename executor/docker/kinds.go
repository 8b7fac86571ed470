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
	return []removal.Kind{containers{b}, networks{b}, volumes{b}}
}

// round bounds one attempt at networks and volumes, which the engine removes at once.
const round = 3 * time.Second

// list is the part of a kind that lists resources by their labels. A resource of a
// job's name without the labels is not the job's.
func list(ctx context.Context, kind journal.Kind, name string, find func(context.Context, string, string) ([]engine.Found, error)) ([]removal.Resource, error) {
	found, err := find(ctx, job.LabelName, name)
	if engine.IsNotFound(err) {
		return nil, errors.New(err.Error()) // a list that is missing is no empty list
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

// remove asks the engine until the resource is gone or another attempt will not help.
func remove(ctx context.Context, id string, ask func(context.Context, string) error) error {
	return teardown.RetryAs(ctx, meaning, func(ctx context.Context) error { return ask(ctx, id) })
}

// meaning is what the engine's answer to a removal means.
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

// networks are the jobs' networks.
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
	users, _ := k.Engine.Users(ctx, "network", r.ID) // only for a message
	return users
}
