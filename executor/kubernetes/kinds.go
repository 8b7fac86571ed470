package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/teardown"
)

// Kinds are the kinds of a job's resources in the cluster. The pod owns all other objects, so that the cluster removes
// them with it.
func (b *Backend) Kinds() []removal.Kind { return []removal.Kind{pods{b}} }

// stopGrace is the time for the job's processes to end, for the agent to kill the rest, and to unmount from inside.
const stopGrace = 10 * time.Second

// pods is the kind of the jobs' pods.
type pods struct{ *Backend }

func (pods) Name() journal.Kind { return journal.Pod }

// Traits: the round is long because the containers are stopped first.
func (pods) Traits() removal.Traits { return removal.Traits{Asked: true, Round: 3 * stopGrace} }

func (k pods) List(ctx context.Context, name string) ([]removal.Resource, error) {
	selector := job.LabelName
	if name != "" {
		selector += "=" + name
	}
	found, err := k.API.Pods(ctx, selector)
	if err != nil {
		err = k.explain(err)
	}
	if errdefs.IsNotFound(err) {
		return nil, errors.New(err.Error()) // without wrapping: a "not found" would count as an empty list
	} else if err != nil {
		return nil, err
	}
	until, err := k.until(ctx, found, selector)
	switch {
	case err != nil && name == "":
		return nil, errors.New(k.explain(err).Error())
	case err != nil: // a removal does not need it; without it a gc waits longer
		until = nil
	}
	var all []removal.Resource
	for _, p := range found {
		for _, r := range resources(p, name) {
			r.Until = until[p.Name]
			all = append(all, r)
		}
	}
	return all, nil
}

// resources is the pod as a resource of its job; none if it is not a job's, or not the wanted one's.
func resources(p corev1.Pod, name string) []removal.Resource {
	marks := labels(p.ObjectMeta)
	owner := marks[job.LabelName]
	if !job.Owns(owner, p.Name, marks) || name != "" && name != owner {
		return nil
	}
	return []removal.Resource{{
		Resource: journal.Resource{Kind: journal.Pod, Name: p.Name, Answered: true},
		Job:      owner, ID: address(p.Name, string(p.UID)), Labels: marks, Made: p.CreationTimestamp.Time,
	}}
}

// Adopt implements [removal.Kind]: pods do not lose their labels.
func (pods) Adopt(context.Context, string, journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{}, false, nil
}

func (pods) Examine(context.Context, *removal.Resource, removal.Recorder) {}

// Remove deletes the pod and waits until it is gone: before that its containers may still run.
func (k pods) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	name, uid, _ := strings.Cut(r.ID, "/")
	return teardown.RetryAs(ctx, meaning, func(ctx context.Context) error {
		err := k.API.DeletePod(ctx, name, types.UID(uid), stopGrace)
		if errdefs.IsConflict(err) {
			return nil // another pod has the name, so this one is gone
		} else if err != nil {
			return err
		}
		round, cancel := context.WithTimeoutCause(ctx, 2*stopGrace, errStillThere)
		defer cancel()
		return k.API.WatchPod(round, name, func(p *corev1.Pod) (bool, error) {
			return p == nil || p.UID != types.UID(uid), nil
		})
	})
}

// errStillThere means that a pod was asked to end and has not ended.
var errStillThere = fmt.Errorf("its containers have not ended: its node may be away: %w", errdefs.ErrUnavailable)

func (pods) Users(context.Context, removal.Resource) []string { return nil }

// meaning classifies the API server's answer to a removal.
func meaning(err error) teardown.Meaning {
	switch {
	case err == nil, errdefs.IsNotFound(err):
		return teardown.Gone
	case errdefs.IsUnavailable(err), errdefs.IsConflict(err):
		return teardown.Busy
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err), errdefs.IsInvalidArgument(err):
		return teardown.Failed
	}
	return teardown.Odd
}
