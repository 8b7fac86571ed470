// Package executor controls a job: prepare, run for each stage, and cleanup. gc removes what jobs have
// left. It does not depend on GitLab Runner, whose interface is in package stages, nor on Docker, which is
// a Backend.
package executor

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/host"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/statedir"
)

// Backend has the containers, volumes and networks of jobs.
type Backend interface {
	removal.Backend
	servicelog.Source
	// Ahead may be called before Prepare: it sends the requests that do not depend on the job.
	Ahead(ctx context.Context)
	// Prepare makes the resources of a job. Each resource is in the journal before it is requested.
	// After an error the caller removes what was made.
	Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (job.Environment, error)
	// Inside gives access to the agent in a container. First is as in job.Environment. Messages call the
	// container name.
	Inside(id string, first owner.Process, name string) agentclient.Container
	// Ends reports whether a container has ended or ends within a time.
	Ends(ctx context.Context, id string, within time.Duration) bool
	// WhyEnded returns why the backend itself has ended a container, as the job's or the system's fault; nil if it has not,
	// or does not know.
	WhyEnded(ctx context.Context, id string) error
	// EndedByItself reports whether a container has ended although nobody asked the backend for that. It is
	// false if the backend does not know.
	EndedByItself(ctx context.Context, id string) bool
	// Kinds are the kinds of a job's resources, in the order of removal.
	Kinds() []removal.Kind
}

// Kept has the volumes that outlive jobs.
type Kept interface {
	// After keeps the volumes of a job's project within their limits after the job.
	After(ctx context.Context, i job.Identity)
	// ForgetTemps records that the volume of a builds folder contains no file variables.
	ForgetTemps(volume string)
	// FinishDisk records that the kept disk of the named job is whole.
	FinishDisk(name string, disk job.Disk) error
}

// Room keeps space free on the backend's disk.
type Room interface {
	// Watch makes room on the disk of the folder until stop is called.
	Watch(ctx context.Context, folder string, full func(error)) (stop func())
}

// Collect is a part of gc: it removes unused resources of one type.
type Collect func(context.Context, removal.Options) ([]removal.Collected, error)

// Executor handles one job at a time.
type Executor struct {
	Backend Backend
	Dir     statedir.Dir // all files of this program are below it
	Kept    Kept
	Room    Room
	// Collects are the parts of gc in addition to jobs, in order.
	Collects []Collect
	// Alive tells other machines that a job's driver lives, until stop is called; nil if the backend needs no such sign.
	Alive func(context.Context, job.Identity) (stop func())
	// DropImages removes shared images that no job uses any more.
	DropImages func(context.Context) ([]string, error)
	// KillGrace is the time between TERM and KILL when a script has to end.
	KillGrace time.Duration
	// Reconnect is how long a script goes on while the connection to a remote container is broken.
	Reconnect time.Duration
	// CleanupTimeout limits the complete removal of a job.
	CleanupTimeout time.Duration
	// GCInterval is the minimum time between two gcs of prepares; they do none if it is not positive.
	GCInterval time.Duration
	// Accounts counts what jobs do. The caller of the stages begins and finishes a job's account; GC finishes
	// those of the jobs that it removes.
	Accounts *accounting.Book
	Log      logrus.FieldLogger
}

// Removal removes jobs. New kinds of resources are registered here, and those of a backend in its Kinds.
func (x *Executor) Removal() *removal.Engine {
	return &removal.Engine{
		Dir: x.Dir, Backend: x.Backend, Timeout: x.CleanupTimeout, Log: x.Log,
		Over:  func(ctx context.Context, job string) { x.Accounts.Finish(ctx, job, accounting.ByGC) },
		Kinds: append(x.Backend.Kinds(), host.Held{}, host.Loops{}, host.Folders{Dir: x.Dir}),
	}
}

func (x *Executor) journal(i job.Identity) (*journal.Journal, error) {
	j, aside, err := journal.Open(x.Dir.Journals(), i.Name())
	if aside != "" {
		x.Log.Warnf("The job's journal could not be read and was moved to %s. The job's resources are found by their labels.", aside)
	}
	return j, err
}
