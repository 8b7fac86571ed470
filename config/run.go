package config

import "time"

// Run is how a stage of the job ends.
type Run struct {
	// KillGrace is the time between TERM and KILL when a stage is ended.
	KillGrace Duration `toml:"kill_grace"`
}

func defaultRun() Run {
	return Run{KillGrace: Duration(10 * time.Second)}
}

// runnerPatience is how long the Runner waits for a stage that it has ended
// before it starts the cleanup beside it.
const runnerPatience = Duration(5 * time.Minute)

func (r *Run) check(k *checker) {
	if k.positive("run.kill_grace", r.KillGrace, "10s") && r.KillGrace >= runnerPatience {
		k.bad("run.kill_grace", `%s is too long: the Runner starts the cleanup after %s; write for example "10s"`, r.KillGrace, runnerPatience)
	}
}
