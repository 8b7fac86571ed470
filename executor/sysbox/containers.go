package sysbox

import (
	"fmt"
	"strconv"
	"strings"
)

// ContainersFile is the configuration of Podman and Buildah (containers.conf(5)).
// CONTAINERS_CONF names it too, so that no file of the image's adds to it.
const ContainersFile = "/etc/containers/containers.conf"

// RootlessContainersFile is the same for users other than root.
const RootlessContainersFile = "/etc/containers/containers-rootless.conf"

// Limits are hard limits of a job's processes.
type Limits struct {
	NoFile uint64 `json:"nofile"` // open files
	NProc  uint64 `json:"nproc"`  // processes of one user
}

// mostLimit is what Podman asks for by itself (pkg/specgen/generate, addRlimits).
const mostLimit = 1048576

// Containers is what `podman run` and `buildah` need in a job to work without flags.
type Containers struct {
	Limits Limits
	TMPDIR string // where they put temporary files when the environment is lost
	// Env holds NAME=value for the tools themselves, where the environment lacks it.
	Env []string
	// Rootless is for users other than the container's root.
	Rootless bool
}

// rootless makes `podman run` work in a user namespace below the container's:
//   - There is no /dev/net/tun for a network of its own: it takes the job's.
//   - Sysbox lets nobody mount a fresh procfs or sysfs there, and answers a bind of
//     exactly /proc or /sys with EINVAL, too (sysbox-fs, seccomp/mount.go,
//     processBindMount). A bind by another name is left to the kernel, which takes it.
const rootless = `netns = "host"
volumes = ["/proc/self/root/proc:/proc", "/proc/self/root/sys:/sys:ro"]
`

// Config is the text of a containers.conf.
func (c Containers) Config() []byte {
	var b strings.Builder
	b.WriteString("# Written by gitlab-sysbox-executor for this job.\n[containers]\n")
	// Podman 4 asks for more open files than the job may have, else:
	// crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted
	fmt.Fprintf(&b, "default_ulimits = [%s, %s]\n", limit("nofile", c.Limits.NoFile), limit("nproc", c.Limits.NProc))
	b.WriteString("log_driver = \"k8s-file\"\n") // no journal need run
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
