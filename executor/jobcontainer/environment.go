// Package jobcontainer defines what the containers of a job are like on every backend: their environment, the
// requests to their first process, and how the result of their inspection is judged.
package jobcontainer

import (
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// ToolDefaults are variables of a container whose processes run as user. The job or
// the administrator can override them.
func ToolDefaults(user string) []string {
	conf := sysbox.ContainersFile
	if !job.IsRoot(user) {
		conf = sysbox.RootlessContainersFile
	}
	return []string{
		"CONTAINERS_CONF=" + conf,
		// Sysbox refuses a nested procfs; overlay cannot be stacked on overlay.
		"BUILDKITD_FLAGS=--oci-worker-no-process-sandbox --oci-worker-snapshotter=native --oci-worker-binary=" + agent.Dir + "/" + RuncFile,
	}
}

// RootlessDefaults are the ToolDefaults that differ for a user other than root, if own does not set them.
func RootlessDefaults(own []string) map[string]string {
	set, all := names(own), map[string]string{}
	ofRoot := ToolDefaults("")
	for _, kv := range ToolDefaults(anyUser) {
		if n, value, _ := strings.Cut(kv, "="); !set[n] && !slices.Contains(ofRoot, kv) {
			all[n] = value
		}
	}
	return all
}

// anyUser stands for each user but root.
const anyUser = "1"

// Environment is the environment of a container whose processes run as user: own, the storage settings, and the
// defaults that own does not set.
func Environment(own []string, settings storage.Settings, user string, defaults ...string) []string {
	return withDefaults(WithStorage(own, settings), append(ToolDefaults(user), defaults...))
}

// withDefaults adds variables that env does not set.
func withDefaults(env, defaults []string) []string {
	set := names(env)
	all := env[:len(env):len(env)]
	for _, kv := range defaults {
		if !set[name(kv)] {
			all = append(all, kv)
		}
	}
	return all
}

// WithStorage sets the storage variables in the environment. It removes duplicates,
// because some programs use the first of two values.
func WithStorage(environment []string, s storage.Settings) []string {
	settings := s.Environment()
	ours := names(settings)
	var all []string
	for _, kv := range environment {
		if !ours[name(kv)] {
			all = append(all, kv)
		}
	}
	return append(all, settings...)
}

// Settled are the settings of the job's scripts after the inspection of the job container:
// native overlay and another isolation if they were requested and their trials succeeded. The
// agent has written the same settings in the container, except for the isolation. Services keep
// the settings that they were started with.
func Settled(p job.Plan, r agent.InspectResponse, stores storage.Stores, log logrus.FieldLogger) storage.Settings {
	if p.Volume.Overlay && r.OverlayFault != "" {
		log.Warnf("Storage driver vfs is used: native overlay does not work in this container: %s.", r.OverlayFault)
	}
	s := p.Storage.Settle(p.Volume.Overlay && r.OverlayFault == "", r.UID, stores)
	switch {
	case r.Isolation != "":
		s.Isolation = r.Isolation
	case r.IsolationFault != "":
		log.Infof("Builds use isolation %s, which may lose the output of RUN lines, because %s does not work here: %s.", s.Isolation, s.TryIsolation, r.IsolationFault)
	}
	return s
}

// Set are the variables that a job's scripts get, whatever the environment of the container is: the enforced
// ones, and the isolation if it was not known when the container was made.
func Set(p job.Plan, settled storage.Settings) map[string]string {
	all := settled.Enforced()
	if settled.Isolation != p.Storage.Isolation {
		all["BUILDAH_ISOLATION"] = settled.Isolation
	}
	return all
}

// names are the variables of an environment.
func names(env []string) map[string]bool {
	all := map[string]bool{}
	for _, kv := range env {
		all[name(kv)] = true
	}
	return all
}

func name(kv string) string {
	n, _, _ := strings.Cut(kv, "=")
	return n
}

// CertainLimits are lower bounds of a container's hard limits: the configured limits,
// or else the smallest defaults of any engine.
func CertainLimits(r config.Resources) sysbox.Limits {
	l := toolconf.CertainLimits
	if u := ulimit(r, "nofile"); u != nil {
		l.NoFile = uint64(u.Hard)
	}
	if u := ulimit(r, "nproc"); u != nil {
		l.NProc = uint64(u.Hard)
	}
	return l
}

// SoftNoFile is the configured soft limit of open files, or 0.
func SoftNoFile(r config.Resources) uint64 {
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
