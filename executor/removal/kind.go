// Package removal removes the resources of jobs, and finds out which jobs are over. It does
// not depend on any kind of resource: each is a [Kind], and cleanup, gc, ps and metrics use
// all kinds in the same way.
//
// A job's journal has the resources that were requested. The list of a Kind has those that
// exist. If a removal is killed, the next one completes it.
package removal

import (
	"context"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/journal"
)

// Resource is a resource of a job, as found by its Kind.
type Resource struct {
	journal.Resource
	Job string // name of the job
	// ID identifies the resource for Remove: an engine allows two networks with one name.
	ID     string
	Labels map[string]string
	Made   time.Time // zero if unknown
	// Until is when the job's driver counts as dead unless it gives another sign of life; zero if the backend does not know.
	Until time.Time
	// Paths are the host's folders and devices behind the resource.
	Paths []string
	// Path is true if the resource itself is a path on the host.
	Path bool
}

// paths are those that processes of the host may hold.
func (r Resource) paths() []string {
	if r.Path {
		return append(slices.Clone(r.Paths), r.ID)
	}
	return r.Paths
}

// Traits are the common properties of all resources of a kind.
type Traits struct {
	// Asked is true if an engine makes the resource on request. It may then appear after a
	// list did not contain it. A leftover of such a kind prevents the job's next attempt.
	Asked bool
	// Round limits one attempt to remove all resources of the kind. After it, everything
	// is listed again.
	Round time.Duration
	// Beside is true if the kind is removed at the same time as the one before it: no
	// resource of either uses one of the other.
	Beside bool
	// Patience limits the attempts while foreign processes hold the resource. Zero means
	// no limit within the cleanup's time.
	Patience time.Duration
}

// Kind is one kind of resource. Its methods are safe for concurrent use.
type Kind interface {
	// Name is the kind's name in journals.
	Name() journal.Kind
	Traits() Traits
	// List lists the resources of the named job or, if job is empty, of all jobs.
	List(ctx context.Context, job string) ([]Resource, error)
	// Adopt looks for a resource that is in the job's journal but not in List: one that has
	// lost its labels, or one that only the journal names. If the resource is gone, it
	// returns false and removes the remains.
	Adopt(ctx context.Context, job string, noted journal.Resource) (Resource, bool, error)
	// Examine is called before Remove, once each time the resource was listed. It completes
	// what List does not know, and records what has to be removed with the resource.
	Examine(ctx context.Context, r *Resource, rec Recorder)
	// Remove ends and removes the resource, or finds it gone. It records what the removal
	// leaves behind. After a *teardown.StillBusy it is called again.
	Remove(ctx context.Context, r Resource, rec Recorder) error
	// Users names the resources of the backend that use this one. The holders of its Paths
	// on the host are found in another way, for all kinds at once.
	Users(ctx context.Context, r Resource) []string
}

// Quarantiner is a Kind whose resources can be moved, so that they do not prevent the
// job's next attempt.
type Quarantiner interface {
	// Quarantine moves the resource and returns it with its new name. If that is not
	// possible, it returns the resource unchanged.
	Quarantine(r Resource, rec Recorder) Resource
}

// Recorder is the journal of the job whose resources are removed.
type Recorder interface {
	// Intend records further resources that are to be removed.
	Intend(...journal.Resource) error
	// Strike records that resources are gone.
	Strike(kind journal.Kind, names ...string) error
	// Facts reads what the prepare stage wrote for later stages.
	Facts(into any) (bool, error)
}
