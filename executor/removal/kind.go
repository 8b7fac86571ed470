// Package removal removes what jobs have on this machine, and finds out which jobs
// are over. It knows no kind of resource: each is a [Kind], and all are asked in the
// same way by cleanup, gc, ps and metrics.
//
// A job's journal says what was asked for; what a Kind lists is the truth. A
// removal that was killed is finished by the next one.
package removal

import (
	"context"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/journal"
)

// Resource is one resource of a job, as its Kind found it.
type Resource struct {
	journal.Resource
	Job string // the job's name
	// ID is what Remove goes by: an engine lets two networks bear one name.
	ID     string
	Labels map[string]string
	Made   time.Time // zero where it is not known
	// Paths are the host's folders and devices behind it.
	Paths []string
	// Path says that the resource itself is a path of the host.
	Path bool
}

// paths are what processes of the host may hold.
func (r Resource) paths() []string {
	if r.Path {
		return append(slices.Clone(r.Paths), r.ID)
	}
	return r.Paths
}

// Traits are what all resources of a kind have in common.
type Traits struct {
	// Asked says that somebody else makes the resource when asked: it may come into
	// being after a list that did not have it. Such a leftover is in the way of the
	// job's next attempt.
	Asked bool
	// Round bounds one attempt at removing all resources of the kind. After it
	// everything is listed again.
	Round time.Duration
	// Patience bounds the retries while foreign processes hold the resource; 0: as
	// long as the cleanup lasts.
	Patience time.Duration
}

// Kind is one kind of resource. Its methods may be called concurrently.
type Kind interface {
	// Name is the kind's name in journals.
	Name() journal.Kind
	Traits() Traits
	// List lists what there is of the named job or, where job is empty, of all jobs.
	List(ctx context.Context, job string) ([]Resource, error)
	// Adopt looks for a resource that the job's journal names and List does not: one
	// that has lost its labels, or one of which nothing but the journal tells. It
	// returns false where the resource is gone, and then does what its going leaves
	// to be done.
	Adopt(ctx context.Context, job string, noted journal.Resource) (Resource, bool, error)
	// Examine is called before Remove, once each time the resource was listed. It
	// fills in what List does not know, and records what goes with the resource.
	Examine(ctx context.Context, r *Resource, rec Recorder)
	// Remove ends and removes the resource, or finds it gone. It records what the
	// removal leaves behind. A *teardown.StillBusy is worth another attempt.
	Remove(ctx context.Context, r Resource, rec Recorder) error
	// Users names the resources of the backend that use this one. Who holds its Paths
	// on the host is found out for all kinds at once.
	Users(ctx context.Context, r Resource) []string
}

// Quarantiner is a Kind whose resources can be moved out of the way of the job's
// next attempt.
type Quarantiner interface {
	// Quarantine moves the resource, and returns it by its new name. It returns the
	// resource as it was where that is not possible.
	Quarantine(r Resource, rec Recorder) Resource
}

// Recorder is the journal of the job whose resources are removed.
type Recorder interface {
	// Intend notes resources that are to be removed, too.
	Intend(...journal.Resource) error
	// Strike notes that a resource is gone.
	Strike(kind journal.Kind, names ...string) error
	// Facts reads what prepare wrote down for later stages.
	Facts(into any) (bool, error)
}
