// Package toolconf is the text of all configuration files that container tools find
// in a job's containers. It writes nothing: the executor writes what is certain
// before a container is made, the agent what is known once it runs.
package toolconf

import (
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// CertainLimits are hard limits that no container is below by the engine's own choice.
var CertainLimits = sysbox.Limits{NoFile: 4096, NProc: 4096}

// Files are the configuration of container tools with these settings, in a container
// whose processes have at least these limits.
func Files(s storage.Settings, limits sysbox.Limits) []storage.File {
	c := sysbox.Containers{Limits: limits, TMPDIR: s.TMPDIR, Env: s.Fallback()}
	root := storage.File{Name: "containers.conf", Path: sysbox.ContainersFile, Text: string(c.Config())}
	c.Rootless = true
	others := storage.File{Name: "containers-rootless.conf", Path: sysbox.RootlessContainersFile, Text: string(c.Config())}
	return append(s.Files(), root, others)
}
