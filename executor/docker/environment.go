package docker

import (
	"strings"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// toolDefaults are variables of a container whose processes run as user. The job or
// the administrator can override them.
func toolDefaults(user string) []string {
	conf := sysbox.ContainersFile
	if !job.IsRoot(user) {
		conf = sysbox.RootlessContainersFile
	}
	return []string{
		"CONTAINERS_CONF=" + conf,
		// Sysbox refuses a nested procfs; overlay cannot be stacked on overlay.
		"BUILDKITD_FLAGS=--oci-worker-no-process-sandbox --oci-worker-snapshotter=native --oci-worker-binary=" + agent.Dir + "/" + runcFile,
	}
}

// layers makes Buildah use the layers of earlier builds, which is not its default.
const layers = "BUILDAH_LAYERS=true"

// withToolDefaults adds the defaults that env does not set.
func withToolDefaults(env []string, user string) []string {
	return withDefaults(env, toolDefaults(user)...)
}

// withDefaults adds variables that env does not set.
func withDefaults(env []string, defaults ...string) []string {
	set := map[string]bool{}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		set[name] = true
	}
	all := env[:len(env):len(env)]
	for _, kv := range defaults {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			all = append(all, kv)
		}
	}
	return all
}

// withStorage sets the storage variables in the environment. It removes duplicates,
// because some programs use the first of two values.
func withStorage(environment []string, s storage.Settings) []string {
	settings := s.Environment()
	ours := spec.Pairs(settings)
	var all []string
	for _, kv := range environment {
		name, _, _ := strings.Cut(kv, "=")
		if _, taken := ours[name]; !taken {
			all = append(all, kv)
		}
	}
	return append(all, settings...)
}

// certainLimits are lower bounds of a container's hard limits: the configured limits,
// or else the smallest defaults of any engine.
func certainLimits(r config.Resources) sysbox.Limits {
	l := toolconf.CertainLimits
	if u := ulimit(r, "nofile"); u != nil {
		l.NoFile = uint64(u.Hard)
	}
	if u := ulimit(r, "nproc"); u != nil {
		l.NProc = uint64(u.Hard)
	}
	return l
}

// softNoFile is the configured soft limit of open files, or 0.
func softNoFile(r config.Resources) uint64 {
	if u := ulimit(r, "nofile"); u != nil {
		return uint64(u.Soft)
	}
	return 0
}

// ulimit returns the last configured value of a limit, or nil.
func ulimit(r config.Resources, name string) (last *units.Ulimit) {
	for _, text := range r.Ulimits {
		// The engine reports a value that cannot be parsed.
		if u, err := units.ParseUlimit(text); err == nil && u.Name == name {
			last = u
		}
	}
	return last
}
