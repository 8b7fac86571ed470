package config

import "math"

// Overrides limits what a job may change with variables: each key is the largest value of its
// variable, and 0 forbids the variable.
type Overrides struct {
	CPUs                float64  `toml:"cpus"`                  // EXECUTOR_CPUS
	Memory              Size     `toml:"memory"`                // EXECUTOR_MEMORY
	MemorySwap          Size     `toml:"memory_swap"`           // EXECUTOR_MEMORY_SWAP
	PidsLimit           int64    `toml:"pids_limit"`            // EXECUTOR_PIDS_LIMIT
	ShmSize             Size     `toml:"shm_size"`              // EXECUTOR_SHM_SIZE
	ServiceCPUs         float64  `toml:"service_cpus"`          // EXECUTOR_SERVICE_CPUS
	ServiceMemory       Size     `toml:"service_memory"`        // EXECUTOR_SERVICE_MEMORY
	ServicesWaitTimeout Duration `toml:"services_wait_timeout"` // EXECUTOR_SERVICES_WAIT_TIMEOUT
}

func (o *Overrides) check(k *checker) {
	const section = "job.overrides."
	for key, n := range map[string]float64{"cpus": o.CPUs, "service_cpus": o.ServiceCPUs} {
		possible := n == 0 || n >= LeastCPUs && n <= mostCPUs // nan is neither
		if !possible || math.IsInf(n, 0) {
			k.bad(section+key, "%v is not a number of processors from %v to %v; write for example 4.0, or 0 to keep jobs from setting it", n, LeastCPUs, mostCPUs)
		}
	}
	for key, size := range map[string]Size{"memory": o.Memory, "service_memory": o.ServiceMemory} {
		k.memory(section+key, size)
	}
	k.limited(section+"memory_swap", o.MemorySwap, "16GiB")
	k.limited(section+"shm_size", o.ShmSize, "1GiB")
	if o.PidsLimit < 0 {
		k.bad(section+"pids_limit", "%d is not a number of tasks; write for example 4096, or 0 to keep jobs from setting it", o.PidsLimit)
	}
	if o.ServicesWaitTimeout < 0 {
		k.bad(section+"services_wait_timeout", `%s is not a duration; write for example "5m", or "0s" to keep jobs from setting it`, o.ServicesWaitTimeout)
	}
}
