package job

import (
	"fmt"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/storage"
)

// Reached returns a text about the limits that a script reached while it ran, and the
// settings that raise them; empty if there are none.
func (l Limits) Reached(e cgroup.Events, u *agent.Usage) string {
	var all []string
	if e.OOMKills > 0 && l.Memory > 0 {
		all = append(all, fmt.Sprintf("The job reached its memory limit of %s, and the kernel killed processes of it. Raise resources.memory in the executor's configuration, or set the job variable EXECUTOR_MEMORY where job.overrides.memory allows it.", format.Bytes(l.Memory)))
	} else if e.OOMKills > 0 {
		all = append(all, "The kernel killed processes of the job because memory ran out. The job has no memory limit of its own (resources.memory): the host's memory was used up, or that of resources.cgroup_parent.")
	}
	if e.Refused > 0 && l.Pids > 0 {
		all = append(all, fmt.Sprintf("The job reached its limit of %d processes and threads. Raise resources.pids_limit in the executor's configuration, or set the job variable EXECUTOR_PIDS_LIMIT where job.overrides.pids_limit allows it.", l.Pids))
	} else if e.Refused > 0 {
		all = append(all, "The job was refused further processes. It has no limit of its own (resources.pids_limit): that of resources.cgroup_parent was reached.")
	}
	if u != nil {
		for _, path := range u.Full {
			if path == storage.Mountpoint {
				all = append(all, fmt.Sprintf("The job's storage volume at %s was full: of its %s (storage.size) nothing was left, and what was written then failed with \"No space left on device\".", path, format.Bytes(l.Volume)))
			} else {
				all = append(all, fmt.Sprintf("The disk that holds the job's TMPDIR %s was full: what was written there then failed with \"No space left on device\".", path))
			}
		}
	}
	return strings.Join(all, " ")
}
