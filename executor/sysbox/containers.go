package sysbox

import (
	"fmt"
	"strconv"
	"strings"
)

// ContainersFile is the configuration of Podman and Buildah (containers.conf(5)).
// CONTAINERS_CONF names it, too, so that the image's files are not read.
const ContainersFile = "/etc/containers/containers.conf"

// RootlessContainersFile is the configuration for users other than root.
const RootlessContainersFile = "/etc/containers/containers-rootless.conf"

// Limits are the hard limits of a job's processes.
type Limits struct {
	NoFile uint64 `json:"nofile"` // open files
	NProc  uint64 `json:"nproc"`  // processes of one user
}

// mostLimit is Podman's own default (pkg/specgen/generate, addRlimits).
const mostLimit = 1048576

// Containers is the configuration with which `podman run` and `buildah` work in a job
// without flags.
type Containers struct {
	Limits Limits
	TMPDIR string // for temporary files of tools that lose the environment
	// Env lists NAME=value for the tools themselves, for variables that the environment lacks.
	Env []string
	// Rootless is for users other than the container's root.
	Rootless bool
}

// rootless makes `podman run` work in a user namespace below the container's:
//   - There is no /dev/net/tun for a network of its own, so it uses the job's network.
//   - Sysbox does not permit new mounts of procfs or sysfs there. A bind mount of exactly /proc or
//     /sys fails with EINVAL, too (sysbox-fs, seccomp/mount.go, processBindMount). Sysbox leaves a
//     bind mount with another spelling of the path to the kernel, which permits it.
const rootless = `netns = "host"
volumes = ["/proc/self/root/proc:/proc", "/proc/self/root/sys:/sys:ro"]
`

// Config returns the text of a containers.conf.
func (c Containers) Config() []byte {
	var b strings.Builder
	b.WriteString("# Written by gitlab-sysbox-executor for this job.\n[containers]\n")
	// Without these limits Podman 4 asks for more open files than the job may have:
	// crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted
	fmt.Fprintf(&b, "default_ulimits = [%s, %s]\n", limit("nofile", c.Limits.NoFile), limit("nproc", c.Limits.NProc))
	b.WriteString("log_driver = \"k8s-file\"\n") // works without journald
	if c.Rootless {
		b.WriteString(rootless)
	}
	b.WriteString("\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n")
	fmt.Fprintf(&b, "image_copy_tmp_dir = %s\n", strconv.Quote(c.TMPDIR))
	quoted := make([]string, len(c.Env))
	for n, kv := range c.Env {
		quoted[n] = strconv.Quote(kv)
	}
	fmt.Fprintf(&b, "env = [%s]\n", strings.Join(quoted, ", "))
	return []byte(b.String())
}

func limit(name string, most uint64) string {
	most = min(most, mostLimit)
	return strconv.Quote(fmt.Sprintf("%s=%d:%d", name, most, most))
}
