package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/sysbox"
)

// The configurations of Podman and Buildah in the job's folder on the host.
const (
	containersFile         = "containers.conf"
	rootlessContainersFile = "containers-rootless.conf"
)

// toolMounts are for the job's container and for its services.
func (x *Executor) toolMounts(p Plan) []engine.Mount {
	shared := filepath.Join(x.folder(p.Identity), sharedFolder)
	return []engine.Mount{
		{Kind: engine.Bind, Source: filepath.Join(shared, containersFile), Target: sysbox.ContainersFile, ReadOnly: true},
		{Kind: engine.Bind, Source: filepath.Join(shared, rootlessContainersFile), Target: sysbox.RootlessContainersFile, ReadOnly: true},
	}
}

// toolDefaults are variables of a container whose processes run as user; a job or
// an administrator may set them otherwise.
func toolDefaults(user string) []string {
	conf := sysbox.ContainersFile
	if !isRoot(user) {
		conf = sysbox.RootlessContainersFile
	}
	return []string{
		"CONTAINERS_CONF=" + conf,
		// Sysbox refuses a nested procfs; overlay cannot be stacked on overlay.
		"BUILDKITD_FLAGS=--oci-worker-no-process-sandbox --oci-worker-snapshotter=native --oci-worker-binary=" + agent.Dir + "/" + runcFile,
	}
}

// isRoot tells whether user[:group] is a container's root, as far as it can be
// told without looking into the container.
func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	id, err := strconv.Atoi(name)
	return name == "" || name == "root" || err == nil && id == 0
}

// withToolDefaults adds to env what is not in it.
func withToolDefaults(env []string, user string) []string {
	set := map[string]bool{}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		set[name] = true
	}
	all := env[:len(env):len(env)]
	for _, kv := range toolDefaults(user) {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			all = append(all, kv)
		}
	}
	return all
}

// certainLimits are hard limits that no container exceeds: what is configured,
// and else what every engine leaves.
func certainLimits(p Plan) sysbox.Limits {
	l := sysbox.Limits{NoFile: 4096, NProc: 4096}
	if u := ulimit(p, "nofile"); u != nil {
		l.NoFile = uint64(u.Hard)
	}
	if u := ulimit(p, "nproc"); u != nil {
		l.NProc = uint64(u.Hard)
	}
	return l
}

// softNoFile is the configured soft limit of open files; 0 where none is.
func softNoFile(p Plan) uint64 {
	if u := ulimit(p, "nofile"); u != nil {
		return uint64(u.Soft)
	}
	return 0
}

// ulimit is what is configured for a limit, if anything is.
func ulimit(p Plan, name string) (last *units.Ulimit) {
	for _, text := range p.Resources.Ulimits {
		// Of what cannot be read the engine tells.
		if u, err := units.ParseUlimit(text); err == nil && u.Name == name {
			last = u
		}
	}
	return last
}

// writeContainers writes the files that toolMounts mounts; a container that runs
// already sees the new text.
func (x *Executor) writeContainers(p Plan, c sysbox.Containers) error {
	c.TMPDIR, c.Env = p.Storage.TMPDIR, p.Storage.Fallback()
	for name, rootless := range map[string]bool{containersFile: false, rootlessContainersFile: true} {
		c.Rootless = rootless
		if err := os.WriteFile(filepath.Join(x.folder(p.Identity), sharedFolder, name), c.Config(), 0o644); err != nil {
			return fmt.Errorf("the job's folder: %w", err)
		}
	}
	return nil
}

// settleTools writes again what depends on how the container turned out to be.
func (x *Executor) settleTools(p Plan, r agent.Report) error {
	return x.writeContainers(p, sysbox.Containers{Limits: r.Limits})
}
