package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/lazyregexp"
)

// release matches the numbers at the beginning of a kernel's release.
var release = lazyregexp.New(`^\d+\.\d+(\.\d+)?`)

// kernel is the kernel's release and its version, as numbers.
func (m *Machine) kernel() (full, number string) {
	full = m.text("/proc/sys/kernel/osrelease")
	return full, release().FindString(full)
}

// The kernels from which on Sysbox needs no copies of files (sysbox, docs/distro-compat.md):
// ID-mapped mounts, and overlayfs on them.
const (
	idMappedKernel  = "5.12"
	idOverlayKernel = "5.19"
	binfmtKernel    = "6.7" // binfmt_misc in each user namespace
)

func checkKernel(_ context.Context, m *Machine) []Finding {
	full, number := m.kernel()
	switch {
	case number == "":
		return found(Note, fmt.Sprintf("the kernel's release %q has no version", full), "make sure that it is 5.19 or newer")
	case !atLeast(number, idMappedKernel):
		return found(Error, fmt.Sprintf("Linux %s has no ID-mapped mounts (since %s): in a job, files of volumes belong to nobody", full, idMappedKernel),
			"update the kernel to 5.19 or newer")
	case !atLeast(number, idOverlayKernel):
		return found(Warning, fmt.Sprintf("Linux %s has no overlay on ID-mapped mounts (since %s): Sysbox changes the owner of every file of an image when a container starts", full, idOverlayKernel),
			"update the kernel to 5.19 or newer")
	}
	if !m.hasFileSystem("overlay") {
		return found(Error, fmt.Sprintf("Linux %s has no overlay file system, which the engine needs", full), "load it: modprobe overlay")
	}
	return ok("Linux %s", full)
}

// hasFileSystem reports whether the kernel has a file system now; a module may not be loaded.
func (m *Machine) hasFileSystem(name string) bool {
	for line := range strings.Lines(m.text("/proc/filesystems")) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}

// checkNamespaces has the conditions of Sysbox (sysbox-runc, libsysbox/sysbox/utils.go,
// checkUnprivilegedUserns): it refuses to start a container otherwise.
func checkNamespaces(_ context.Context, m *Machine) []Finding {
	for _, c := range []struct{ path, key, bad string }{
		{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces=65536", "0"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone=1", "0"},
	} {
		if m.text(c.path) == c.bad {
			name, _, _ := strings.Cut(c.key, "=")
			return found(Error, fmt.Sprintf("%s is %s: Sysbox starts no container", name, c.bad),
				fmt.Sprintf("sysctl -w %s, and write it to /etc/sysctl.d/99-sysbox-sysctl.conf", c.key))
		}
	}
	most := m.text("/proc/sys/user/max_user_namespaces")
	if most == "" {
		return found(Error, "the kernel has no user namespaces", "take a kernel with CONFIG_USER_NS")
	}
	return ok("user namespaces, at most %s", most)
}

// checkCgroup finds the version of the control groups, and whether limits have an effect.
func checkCgroup(ctx context.Context, m *Machine) []Finding {
	var s unix.Statfs_t
	if err := unix.Statfs(m.path("/sys/fs/cgroup"), &s); err != nil {
		return found(Error, fmt.Sprintf("there are no control groups: %v", err), "mount them: mount -t cgroup2 none /sys/fs/cgroup")
	}
	unified := s.Type == unix.CGROUP2_SUPER_MAGIC
	what, has := "cgroup v1", m.controllersV1()
	if unified {
		what, has = "cgroup v2", strings.Fields(m.text("/sys/fs/cgroup/cgroup.controllers"))
	}
	info, err := m.engineInfo(ctx)
	if err == nil && info.CgroupDriver != "" {
		what += ", driver " + info.CgroupDriver
	}
	if err == nil && m.local() && info.CgroupVersion != "" && (info.CgroupVersion == "2") != unified {
		return found(Warning, fmt.Sprintf("%s here, but the engine uses cgroup v%s", what, info.CgroupVersion), "restart the engine: systemctl restart docker")
	}
	var missing []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(has, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		next := "boot the kernel with cgroup_enable=memory"
		if unified {
			next = "look which controllers are still mounted as cgroup v1 (mount -t cgroup), and boot with systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory"
		}
		return found(Warning, fmt.Sprintf("%s without %s: these limits of jobs have no effect, and the engine may refuse them", what, strings.Join(missing, ", ")), next)
	}
	parent := m.Config.Resources.CgroupParent
	if err == nil && parent != "" && (info.CgroupDriver == "systemd") != strings.HasSuffix(parent, ".slice") {
		right := "a path such as /ci"
		if info.CgroupDriver == "systemd" {
			right = "a slice such as ci.slice"
		}
		return found(Error, fmt.Sprintf("%s: resources.cgroup_parent is %q, which this driver refuses", what, parent), "write "+right+" in "+m.ConfigPath)
	}
	return ok("%s", what)
}

// controllersV1 are the enabled controllers of cgroup v1 (cgroups(7), /proc/cgroups).
func (m *Machine) controllersV1() (all []string) {
	for line := range strings.Lines(m.text("/proc/cgroups")) {
		if f := strings.Fields(line); len(f) == 4 && f[3] == "1" {
			all = append(all, f[0])
		}
	}
	return all
}

// leastSysctls are values below which a machine with many jobs runs out of a resource. They are a
// fraction of those that Sysbox's package sets (sysbox-pkgr, systemd/99-sysbox-sysctl.conf).
var leastSysctls = []struct {
	key   string
	least int
	set   int
}{
	{"fs.inotify.max_user_instances", 1024, 1048576},
	{"fs.inotify.max_user_watches", 65536, 1048576},
	{"kernel.keys.maxkeys", 2000, 20000},
	{"kernel.pid_max", 65536, 4194304},
}

func checkSysctls(_ context.Context, m *Machine) []Finding {
	var low, set []string
	for _, s := range leastSysctls {
		value := m.text("/proc/sys/" + strings.ReplaceAll(s.key, ".", "/"))
		if n, err := strconv.Atoi(value); err == nil && n < s.least {
			low = append(low, s.key+"="+value)
			set = append(set, fmt.Sprintf("%s=%d", s.key, s.set))
		}
	}
	if len(low) > 0 {
		return found(Note, "low for many jobs at once: "+strings.Join(low, ", "),
			"write Sysbox's values to /etc/sysctl.d/99-sysbox-sysctl.conf, then: sysctl --system ("+strings.Join(set, ", ")+")")
	}
	return ok("inotify, keys and processes suffice for many jobs")
}

// binfmtSysbox is the Sysbox that gives each container a binfmt_misc of its own (its CHANGELOG.md).
const binfmtSysbox = "0.6.7"

// checkBinfmt: builds for other architectures need it.
func checkBinfmt(ctx context.Context, m *Machine) []Finding {
	_, number := m.kernel()
	sysbox := m.SysboxVersion(ctx)
	switch {
	case !m.hasFileSystem("binfmt_misc"):
		return found(Note, "the kernel has no binfmt_misc: jobs cannot run programs of other architectures", "if they should: modprobe binfmt_misc, then restart Sysbox")
	case !atLeast(number, binfmtKernel):
		return found(Note, "binfmt_misc is the machine's: jobs cannot register other architectures themselves", "if they should: a kernel from "+binfmtKernel+" on")
	case sysbox != "" && !atLeast(sysbox, binfmtSysbox):
		return found(Note, "Sysbox "+sysbox+" gives jobs no binfmt_misc of their own", "if they should build for other architectures: Sysbox "+binfmtSysbox+" or newer")
	}
	return ok("each job can have its own")
}
