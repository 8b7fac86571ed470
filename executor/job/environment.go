package job

import (
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/cgroup"
)

// Environment is what prepare learnt of a job's containers and later stages need. It
// is in the job's journal.
type Environment struct {
	Container   string `json:"container"` // ID
	Image       string `json:"image"`     // as the job named it
	Shell       string `json:"shell"`
	ANSIQuoting bool   `json:"ansi_quoting"`
	User        string `json:"user"`
	WorkingDir  string `json:"working_dir"`
	Init        bool   `json:"init"`
	NoFile      uint64 `json:"nofile,omitempty"` // as in agent.ExecOrder
	// Enforced are the variables that a job's script must not change.
	Enforced map[string]string `json:"enforced"`
	TMPDIR   string            `json:"tmpdir"`
	Watch    agent.Watch       `json:"watch"`
	Limits   Limits            `json:"limits"`
	// Builds is the kept volume with the job's builds folder; empty where it is not kept.
	Builds   string    `json:"builds,omitempty"`
	Services []Running `json:"services,omitempty"`
	// Tools is a folder on the PATH of the stages that a helper can do.
	Tools string `json:"tools,omitempty"`
	// EngineFolder is on the engine's disk, where that is seen from here.
	EngineFolder string `json:"engine_folder,omitempty"`
	// Helper is where those stages run, when not in the job's container.
	Helper *Environment `json:"helper,omitempty"`
}

// Of is the environment of one stage: of one that a helper can do, or of one with
// the author's script.
func (e Environment) Of(helper bool) Environment {
	switch {
	case !helper:
		e.Tools = ""
	case e.Helper != nil:
		return *e.Helper
	}
	return e
}

// Limits are those of a container that a script may reach.
type Limits struct {
	Memory int64 `json:"memory,omitempty"` // bytes; not positive for none
	Pids   int64 `json:"pids,omitempty"`   // processes and threads; not positive for none
	Volume int64 `json:"volume,omitempty"` // bytes of the storage volume
	// Group counts what the kernel did because of them.
	Group cgroup.Group `json:"group"`
}

// Running is a service that was started.
type Running struct {
	ID    string `json:"id"`
	Name  string `json:"name"`  // of the container
	Image string `json:"image"` // as the job log names it
	Label string `json:"label"`
	// Ports are those of which one that accepts a connection says that it is ready.
	Ports []int `json:"ports,omitempty"`
	// Health says that the image's own health check is to be asked instead.
	Health bool `json:"health,omitempty"`
}
