package docker

import (
	_ "embed"
	"path"
	"slices"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/lazyregexp"
)

// Requirements of container engines inside a job.

// runcFile is the program that BuildKit uses as runc: in the job's folder on the host,
// and below agent.Dir in the containers.
const runcFile = "runc"

//go:embed runc.sh
var runcText []byte

// engineFolders puts the data of Docker and BuildKit on the job's storage volume. There
// it is limited in size, is removed with the job, and works with overlay. The folder that
// Sysbox mounts by default has no size limit. Mounts of the administrator stay.
func engineFolders(p job.Plan, mounts []engine.Mount) []agent.Bind {
	var binds []agent.Bind
	for _, name := range []string{"docker", "buildkit"} {
		if target := path.Join("/var/lib", name); !occupied(p, mounts, target) {
			binds = append(binds, agent.Bind{From: path.Join(storage.Mountpoint, name), To: target})
		}
	}
	return binds
}

// occupied reports whether a mount is at, below or above target.
func occupied(p job.Plan, mounts []engine.Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m engine.Mount) bool { return config.Overlap(m.Target, target) }) ||
		slices.ContainsFunc(p.Container.Tmpfs, func(text string) bool {
			at, _ := config.ParseTmpfs(text)
			return config.Overlap(at, target)
		})
}

var plainPath = lazyregexp.New(`^(/[A-Za-z0-9._-]+)+$`)

// certificates are the folders that DOCKER_TLS_CERTDIR names. The job and its services
// share them, because a service such as docker:dind writes certificates for its clients
// there. Folders that overlap mounts are left out. Images are those of the services.
func certificates(p job.Plan, images []engine.Image, mounts []engine.Mount) (targets []string) {
	for n, s := range p.Services {
		target := path.Clean(valueOf("DOCKER_TLS_CERTDIR", images[n].Env, s.Environment))
		if !plainPath().MatchString(target) {
			continue
		}
		// A folder that overlaps a mount is already shared, or is the administrator's.
		overlaps := func(other string) bool { return config.Overlap(other, target) }
		if place, _ := config.Reserved(target); place != "" || occupied(p, mounts, target) || slices.ContainsFunc(targets, overlaps) {
			continue
		}
		targets = append(targets, target)
	}
	return targets
}

// valueOf is the last value of a variable in lists of NAME=value.
func valueOf(name string, lists ...[]string) (value string) {
	for _, kv := range slices.Concat(lists...) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}
