// Package executor leads one job through its life: prepare, run for each stage, cleanup;
// and gc removes what jobs have left. It knows nothing of GitLab Runner, which the
// stages package speaks to, and nothing of Docker, which is a Backend.
package executor

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/host"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/statedir"
)

// Backend has the containers, volumes and networks of jobs.
type Backend interface {
	removal.Backend
	servicelog.Source
	// Prepare makes what the job is to have. Each resource is in the journal before it
	// is asked for; after an error the caller removes what there is by then.
	Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (job.Environment, error)
	// Inside is one of a job's containers as its agent is spoken to; name is what
	// messages call it.
	Inside(id, name string) agentclient.Container
	// Kinds are the kinds of a job's resources, in the order of removal.
	Kinds() []removal.Kind
}

// Kept has the volumes that outlive jobs.
type Kept interface {
	// After keeps what a job's project keeps within its limits once the job is over.
	After(ctx context.Context, i job.Identity)
	// ForgetTemps notes that the volume of a builds folder holds no file variables.
	ForgetTemps(volume string)
}

// Room keeps room free on the disk that the backend fills.
type Room interface {
	// Watch makes room on the disk that the folder is on until stop is called.
	Watch(ctx context.Context, folder string, full func(error)) (stop func())
}

// Collect is a part of gc: it removes what nobody needs of one sort of thing.
type Collect func(context.Context, removal.Options) ([]removal.Collected, error)

// Executor works for one job at a time.
type Executor struct {
	Backend Backend
	Dir     statedir.Dir // all that we keep on this machine is below it
	Kept    Kept
	Room    Room
	// Collects are the parts of gc beside jobs, in their order.
	Collects []Collect
	// DropImages removes shared images that the last job was the last to have.
	DropImages func(context.Context) ([]string, error)
	// KillGrace is the time between TERM and KILL when a script is to end.
	KillGrace time.Duration
	// CleanupTimeout bounds the whole removal of a job.
	CleanupTimeout time.Duration
	// GCInterval is the least time between two gcs that prepares do; none when it
	// is not positive.
	GCInterval time.Duration
	Log        logrus.FieldLogger
}

// Removal removes jobs. A new kind of resource of this machine is registered here, one
// of a backend's in its Kinds.
func (x *Executor) Removal() *removal.Engine {
	return &removal.Engine{
		Dir: x.Dir, Backend: x.Backend, Timeout: x.CleanupTimeout, Log: x.Log,
		Kinds: append(x.Backend.Kinds(), host.Held{}, host.Loops{}, host.Folders{Dir: x.Dir}),
	}
}

func (x *Executor) journal(i job.Identity) (*journal.Journal, error) {
	j, aside, err := journal.Open(x.Dir.Journals(), i.Name())
	if aside != "" {
		x.Log.Warnf("The job's journal could not be read; it was set aside as %s. What the job has on this machine is found by its labels.", aside)
	}
	return j, err
}
