package config

import "time"

// Run configures the end of a stage.
type Run struct {
	// KillGrace is the time between TERM and KILL when a stage is stopped.
	KillGrace Duration `toml:"kill_grace"`
	// Reconnect is how long a stage goes on without its driver if the connection to a cluster or a remote engine
	// breaks; 0 ends it at once.
	Reconnect Duration `toml:"reconnect"`
}

func defaultRun() Run {
	return Run{KillGrace: Duration(10 * time.Second), Reconnect: Duration(time.Minute)}
}

// RunnerPatience is how long the Runner waits for a stage that it has stopped. After that it
// starts the cleanup while the stage may still run.
const RunnerPatience = Duration(5 * time.Minute)

func (r *Run) check(k *checker) {
	if k.positive("run.kill_grace", r.KillGrace, "10s") && r.KillGrace >= RunnerPatience {
		k.bad("run.kill_grace", `%s is too long: the Runner starts the cleanup after %s; write for example "10s"`, r.KillGrace, RunnerPatience)
	}
	if r.Reconnect < 0 || r.Reconnect >= RunnerPatience {
		k.bad("run.reconnect", `%s is not possible: write a time from 0 to below %s, for example "60s"`, r.Reconnect, RunnerPatience)
	}
}
