package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/lazyregexp"
)

// Resources limits a container. 0 and empty values use the engine's default, which is no
// limit except for ShmSize.
type Resources struct {
	// CPUs is the processor time that the job may use, in processors; fractions are allowed.
	CPUs float64 `toml:"cpus"`
	// CpusetCPUs lists the processors that the job may use, such as "0-3,5".
	CpusetCPUs string `toml:"cpuset_cpus"`
	// Memory is the hard limit in bytes.
	Memory Size `toml:"memory"`
	// MemorySwap limits memory and swap together, in bytes, or is [Unlimited].
	MemorySwap Size `toml:"memory_swap"`
	// MemoryReservation is the soft limit in bytes.
	MemoryReservation Size `toml:"memory_reservation"`
	// PidsLimit is the largest number of tasks; 0 and -1 set no limit.
	PidsLimit int64 `toml:"pids_limit"`
	// ShmSize is the size of /dev/shm in bytes.
	ShmSize Size `toml:"shm_size"`
	// Ulimits use docker's notation, which [units.ParseUlimit] reads.
	Ulimits []string `toml:"ulimits"`
	// CgroupParent is the cgroup, or the systemd slice, in which the container's cgroup is
	// created.
	CgroupParent string `toml:"cgroup_parent"`
}

// defaultPids is more than a parallel build needs, and half of the kernel's default for the
// whole machine (kernel.pid_max, 32768).
const defaultPids = 16384

func defaultResources() Resources {
	return Resources{PidsLimit: defaultPids, Ulimits: []string{}}
}

const (
	// LeastMemory is the engine's minimum (daemon/daemon_unix.go, linuxMinMemory).
	LeastMemory Size = 6 * units.MiB
	// LeastCPUs is 1 ms of the engine's period of 100 ms: the kernel accepts no smaller
	// quota.
	LeastCPUs = 0.01
	// mostCPUs is the largest NR_CPUS of Linux.
	mostCPUs = 8192
)

// check rejects what the engine would reject in every job (daemon/daemon_unix.go,
// verifyPlatformContainerResources). Section is the path of the table.
func (r *Resources) check(k *checker, section string) {
	key := func(name string) string { return section + "." + name }
	possible := r.CPUs == 0 || r.CPUs >= LeastCPUs && r.CPUs <= mostCPUs // nan is neither
	if !possible {
		k.bad(key("cpus"), "%v is not a number of processors from %v to %v; write for example 2.5, or 0 for no limit", r.CPUs, LeastCPUs, mostCPUs)
	}
	if r.CpusetCPUs != "" && !cpuset().MatchString(r.CpusetCPUs) {
		k.bad(key("cpuset_cpus"), `%q is not a list of processors; write for example "0-3,5", or "" for all`, r.CpusetCPUs)
	}
	k.memory(key("memory"), r.Memory)
	k.memory(key("memory_reservation"), r.MemoryReservation)
	k.swap(section, r)
	if k.sound(key("memory"), key("memory_reservation")) && r.Memory > 0 && r.MemoryReservation > r.Memory {
		k.bad(key("memory_reservation"), "%s is more than %s %s; write at most that, or 0", r.MemoryReservation, key("memory"), r.Memory)
	}
	if r.PidsLimit < -1 {
		k.bad(key("pids_limit"), "%d is not a number of tasks; write for example 4096, or 0 for no limit", r.PidsLimit)
	}
	k.limited(key("shm_size"), r.ShmSize, "256MiB")
	k.ulimits(key("ulimits"), r.Ulimits)
	if c := r.CgroupParent; strings.ContainsFunc(c, blank) || slices.Contains(strings.Split(c, "/"), "..") {
		k.bad(key("cgroup_parent"), `%q is not the path of a cgroup; write for example "/ci" or "ci.slice", or ""`, c)
	}
}

// cpuset is the kernel's list format (cpuset(7)) as the engine accepts it.
var cpuset = lazyregexp.New(`^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$`)

// over returns r with values of other where r has none. The memory keys are taken together,
// all from r or all from other.
func (r Resources) over(other Resources) Resources {
	r.CPUs = cmp.Or(r.CPUs, other.CPUs)
	r.CpusetCPUs = cmp.Or(r.CpusetCPUs, other.CpusetCPUs)
	if r.Memory == 0 && r.MemorySwap == 0 && r.MemoryReservation == 0 {
		r.Memory, r.MemorySwap, r.MemoryReservation = other.Memory, other.MemorySwap, other.MemoryReservation
	}
	r.PidsLimit = cmp.Or(r.PidsLimit, other.PidsLimit)
	r.ShmSize = cmp.Or(r.ShmSize, other.ShmSize)
	if len(r.Ulimits) == 0 {
		r.Ulimits = other.Ulimits
	}
	r.CgroupParent = cmp.Or(r.CgroupParent, other.CgroupParent)
	return r
}

func (k *checker) memory(key string, size Size) {
	if k.limited(key, size, "4GiB") && size > 0 && size < LeastMemory {
		k.bad(key, "%s is less than the engine's minimum, %s; write at least that, or 0 for no limit", size, LeastMemory)
	}
}

func (k *checker) swap(section string, r *Resources) {
	key, memory := section+".memory_swap", section+".memory"
	if !k.sound(key, memory) || r.MemorySwap <= 0 {
		return
	}
	switch {
	case r.Memory == 0:
		k.bad(key, `%s includes memory and needs %s; set that too, or write "unlimited" or 0 here`, r.MemorySwap, memory)
	case r.MemorySwap < r.Memory:
		k.bad(key, `%s is less than %s %s, which it includes; write at least that, or "unlimited" or 0`, r.MemorySwap, memory, r.Memory)
	}
}

func (k *checker) ulimits(key string, ulimits []string) {
	seen := map[string]bool{}
	for _, text := range ulimits {
		limit, err := units.ParseUlimit(text)
		switch {
		case err != nil:
			k.bad(key, `%q is not a limit (%v); write for example "nofile=1024:2048"`, text, err)
			continue
		case limit.Soft < -1 || limit.Hard < -1:
			k.bad(key, `%q is negative; write for example "nofile=1024:2048", or -1 for no limit`, text)
		case seen[limit.Name]:
			k.bad(key, "%s is set twice; keep one", limit.Name)
		}
		seen[limit.Name] = true
	}
}
