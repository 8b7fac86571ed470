package runner

import "time"

// Runner is the Runner's configuration of the custom executor.
type Runner struct {
	Driver Driver
	// Env is added to this process's own environment for the driver, as if
	// the Runner had been started with it.
	Env []string
	// BuildFailureExit and SystemFailureExit are what the driver must exit
	// with: 1 and 2, as in every Runner so far, unless a test chooses others.
	BuildFailureExit, SystemFailureExit int

	RetryPause   time.Duration // between attempts at prepare: 3 s
	GracefulKill time.Duration // from SIGTERM to SIGKILL: 10 min
	ForceKill    time.Duration // from SIGKILL to giving up: 10 s
	FinishWait   time.Duration // from an abort to cleanup: 5 min
	StageTimeout time.Duration // of config, prepare and cleanup: 1 h
	TempRoot     string        // where per-job folders are made: the system's

	// Opened is called with each job as its session begins; it may be nil.
	Opened func(Job)
}

// Driver is the program under test.
type Driver struct {
	Path                                          string
	ConfigArgs, PrepareArgs, RunArgs, CleanupArgs []string
}

// NewDriver is a driver with a sub-command per stage, each followed by args.
func NewDriver(path string, args ...string) Driver {
	with := func(stage string) []string { return append([]string{stage}, args...) }
	return Driver{
		Path: path, ConfigArgs: with("config"), PrepareArgs: with("prepare"),
		RunArgs: with("run"), CleanupArgs: with("cleanup"),
	}
}

// prepareAttempts is the Runner's PreparationRetries.
const prepareAttempts = 3

func (r Runner) withDefaults() Runner {
	or := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	or(&r.RetryPause, 3*time.Second)
	or(&r.GracefulKill, 10*time.Minute)
	or(&r.ForceKill, 10*time.Second)
	or(&r.FinishWait, 5*time.Minute)
	or(&r.StageTimeout, time.Hour)
	if r.BuildFailureExit == 0 {
		r.BuildFailureExit = 1
	}
	if r.SystemFailureExit == 0 {
		r.SystemFailureExit = 2
	}
	return r
}
