package jobcontainer

import (
	_ "embed"
	"path"
	"slices"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// Requirements of container engines inside a job.

// RuncFile is the name of the program that BuildKit uses as runc, below agent.Dir in the containers.
const RuncFile = "runc"

// RuncText is that program.
//
//go:embed runc.sh
var RuncText []byte

// engineFolders puts the data of Docker and BuildKit on the job's storage volume. There
// it is limited in size, is removed with the job, and works with overlay. The folder that
// Sysbox mounts by default has no size limit. Mounts of the administrator, at
// the targets, stay.
func engineFolders(p job.Plan, targets []string) []agent.Bind {
	var binds []agent.Bind
	for _, name := range []string{"docker", "buildkit"} {
		if target := path.Join("/var/lib", name); !Occupied(p, targets, target) {
			binds = append(binds, agent.Bind{From: path.Join(storage.Mountpoint, name), To: target})
		}
	}
	return binds
}

// Occupied reports whether a mount at one of the targets, or an in-memory file system of the administrator, is at,
// below or above target.
func Occupied(p job.Plan, targets []string, target string) bool {
	return slices.ContainsFunc(targets, func(at string) bool { return config.Overlap(at, target) }) ||
		slices.ContainsFunc(p.Container.Tmpfs, func(text string) bool {
			at, _ := config.ParseTmpfs(text)
			return config.Overlap(at, target)
		})
}
