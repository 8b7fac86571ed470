package config

import "time"

// Run configures the end of a stage.
type Run struct {
	// KillGrace is the time between TERM and KILL when a stage is stopped.
	KillGrace Duration `toml:"kill_grace"`
}

func defaultRun() Run {
	return Run{KillGrace: Duration(10 * time.Second)}
}

// RunnerPatience is how long the Runner waits for a stage that it has stopped. After that it
// starts the cleanup while the stage may still run.
const RunnerPatience = Duration(5 * time.Minute)

func (r *Run) check(k *checker) {
	if k.positive("run.kill_grace", r.KillGrace, "10s") && r.KillGrace >= RunnerPatience {
		k.bad("run.kill_grace", `%s is too long: the Runner starts the cleanup after %s; write for example "10s"`, r.KillGrace, RunnerPatience)
	}
}
