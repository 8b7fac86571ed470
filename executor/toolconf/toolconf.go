// Package toolconf generates the configuration files of container tools in a job's
// containers. It writes no files: the executor writes what is known before a container is
// created, the agent what is known once it runs.
package toolconf

import (
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// CertainLimits are the lowest hard limits that an engine sets for containers.
var CertainLimits = sysbox.Limits{NoFile: 4096, NProc: 4096}

// Files returns the configuration files of container tools for these settings, in a
// container with at least these limits.
func Files(s storage.Settings, limits sysbox.Limits) []storage.File {
	c := sysbox.Containers{Limits: limits, TMPDIR: s.TMPDIR, Env: s.Fallback()}
	root := storage.File{Name: "containers.conf", Path: sysbox.ContainersFile, Text: string(c.Config())}
	c.Rootless = true
	others := storage.File{Name: "containers-rootless.conf", Path: sysbox.RootlessContainersFile, Text: string(c.Config())}
	return append(s.Files(), root, others)
}
