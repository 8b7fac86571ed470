package executor

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/statedir"
)

// Executor works for one job at a time on one engine.
type Executor struct {
	Engine   *engine.Engine
	StateDir string // absolute; all that we keep on this machine is below it
	// KillGrace is the time between TERM and KILL when a script is to end.
	KillGrace time.Duration
	// CleanupTimeout bounds the whole removal of a job.
	CleanupTimeout time.Duration
	// GCInterval is the least time between two gcs that prepares do; none when it
	// is not positive.
	GCInterval time.Duration
	// CacheMounts is how many bytes the kept cache mounts of each project may have,
	// apart for protected refs; any number when it is not positive.
	CacheMounts int64
	Disk        Disk
	Log         logrus.FieldLogger

	lastSeenLock sync.Mutex
	lastSeen     *seen // what was shown of the services of the job worked for last
}

func (x *Executor) state() statedir.Dir { return statedir.Dir(x.StateDir) }

// folder is the job's own on the host; what its container sees of it is read-only there.
func (x *Executor) folder(i Identity) string { return x.state().Job(i.Name()) }

func (x *Executor) journal(i Identity) (*journal.Journal, error) {
	j, aside, err := journal.Open(x.state().Journals(), i.Name())
	if aside != "" {
		x.Log.Warnf("The job's journal could not be read; it was set aside as %s. What the job has on this machine is found by its labels.", aside)
	}
	return j, err
}
