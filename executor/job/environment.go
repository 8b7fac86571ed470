package job

import (
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/owner"
)

// Environment is what later stages need to know of a job's containers. The prepare stage
// writes it to the job's journal.
type Environment struct {
	Container string `json:"container"` // ID
	// First is the container's first process if that is the agent and runs on this machine. Otherwise it is
	// zero: only the engine can start processes in the container.
	First       owner.Process `json:"first,omitzero"`
	Image       string        `json:"image"` // as written in the job
	Shell       string        `json:"shell"`
	ANSIQuoting bool          `json:"ansi_quoting"`
	User        string        `json:"user"`
	WorkingDir  string        `json:"working_dir"`
	Init        bool          `json:"init"`
	// Keeps means that the agent knows agent.Keep. An older version may have prepared the job.
	Keeps  bool   `json:"keeps,omitempty"`
	NoFile uint64 `json:"nofile,omitempty"` // as in agent.ExecRequest
	// Enforced are the variables that a job's script cannot change.
	Enforced map[string]string `json:"enforced"`
	TMPDIR   string            `json:"tmpdir"`
	Watch    agent.Watch       `json:"watch"`
	Limits   Limits            `json:"limits"`
	// Disk is the disk image of the storage volume if that is kept for the project's next job; otherwise nil.
	Disk *Disk `json:"disk,omitempty"`
	// MostKept is the size in bytes above which it is not kept.
	MostKept int64 `json:"most_kept,omitempty"`
	// Builds is the kept volume with the job's builds folder; empty if it is not kept.
	Builds   string    `json:"builds,omitempty"`
	Services []Running `json:"services,omitempty"`
	// Tools is a folder on the PATH of stages that can run in a helper container.
	Tools string `json:"tools,omitempty"`
	// EngineFolder is the engine's data folder; empty if this process cannot see it.
	EngineFolder string `json:"engine_folder,omitempty"`
	// Helper is the environment of those stages; nil if they run in the job container.
	Helper *Environment `json:"helper,omitempty"`
}

// Of returns the environment of a stage. Helper is true for a stage that can run in a
// helper container, and false for a stage with the author's script.
func (e Environment) Of(helper bool) Environment {
	switch {
	case !helper:
		e.Tools = ""
	case e.Helper != nil:
		return *e.Helper
	}
	return e
}

// Limits are the limits of a container that a script can reach.
type Limits struct {
	Memory int64 `json:"memory,omitempty"` // bytes; no limit unless positive
	Pids   int64 `json:"pids,omitempty"`   // processes and threads; no limit unless positive
	Volume int64 `json:"volume,omitempty"` // bytes of the storage volume
	// Group counts the kernel's actions because of these limits.
	Group cgroup.Group `json:"group"`
}

// Running is a service that was started.
type Running struct {
	ID    string `json:"id"`
	Name  string `json:"name"`  // of the container
	Image string `json:"image"` // its name in the job log
	Label string `json:"label"`
	// Ports are TCP ports. The service is ready when one of them accepts a connection.
	Ports []int `json:"ports,omitempty"`
	// Health means that the image's health check is used instead of Ports.
	Health bool `json:"health,omitempty"`
}
