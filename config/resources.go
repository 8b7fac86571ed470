package config

import "github.com/docker/go-units"

// Resources limits each job container; 0 and an empty list are the engine's
// default, which is no limit for all but ShmSize.
type Resources struct {
	// CPUs is how many processors' time the job may use; fractions are fine.
	CPUs float64 `toml:"cpus"`
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
	// Ulimits are in docker's notation, which [units.ParseUlimit] reads.
	Ulimits []string `toml:"ulimits"`
}

func defaultResources() Resources {
	return Resources{Ulimits: []string{}}
}

const (
	// leastMemory is the engine's (daemon/daemon_unix.go, linuxMinMemory).
	leastMemory Size = 6 * units.MiB
	// leastCPUs is 1 ms of the engine's period of 100 ms: the kernel takes no
	// smaller quota.
	leastCPUs = 0.01
	// mostCPUs is the largest NR_CPUS of Linux.
	mostCPUs = 8192
)

// check refuses what the engine refuses at every job
// (daemon/daemon_unix.go, verifyPlatformContainerResources).
func (r *Resources) check(k *checker) {
	possible := r.CPUs == 0 || r.CPUs >= leastCPUs && r.CPUs <= mostCPUs // TOML has nan: never so
	if !possible {
		k.bad("resources.cpus", "%v is not a number of processors from %v to %v; write for example 2.5, or 0 for no limit", r.CPUs, leastCPUs, mostCPUs)
	}
	k.memory("resources.memory", r.Memory)
	k.memory("resources.memory_reservation", r.MemoryReservation)
	k.swap(r)
	if k.sound("resources.memory", "resources.memory_reservation") && r.Memory > 0 && r.MemoryReservation > r.Memory {
		k.bad("resources.memory_reservation", "%s is more than resources.memory %s; write at most that, or 0", r.MemoryReservation, r.Memory)
	}
	if r.PidsLimit < -1 {
		k.bad("resources.pids_limit", "%d is not a number of tasks; write for example 4096, or 0 for no limit", r.PidsLimit)
	}
	k.limited("resources.shm_size", r.ShmSize, "256MiB")
	k.ulimits("resources.ulimits", r.Ulimits)
}

func (k *checker) memory(key string, size Size) {
	if k.limited(key, size, "4GiB") && size > 0 && size < leastMemory {
		k.bad(key, "%s is less than the engine's least, %s; write at least that, or 0 for no limit", size, leastMemory)
	}
}

func (k *checker) swap(r *Resources) {
	const key = "resources.memory_swap"
	if !k.sound(key, "resources.memory") || r.MemorySwap <= 0 {
		return
	}
	switch {
	case r.Memory == 0:
		k.bad(key, `%s needs resources.memory, which is the part of it that is no swap; write that too, or "unlimited" or 0 here`, r.MemorySwap)
	case r.MemorySwap < r.Memory:
		k.bad(key, `%s is less than resources.memory %s, which it includes; write at least that, or "unlimited" or 0`, r.MemorySwap, r.Memory)
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
			k.bad(key, `%q is less than nothing; write for example "nofile=1024:2048", or -1 for no limit`, text)
		case seen[limit.Name]:
			k.bad(key, "%s stands there twice; keep one", limit.Name)
		}
		seen[limit.Name] = true
	}
}
