package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
)

// overridePrefix is the prefix of the variables by which a job changes its limits.
const overridePrefix = "EXECUTOR_"

// elsewhere are variables with our prefix that are not overrides: GitLab Runner's own
// (https://docs.gitlab.com/ci/runners/configure_runners/#job-stages-attempts), and those
// that other code reads.
var elsewhere = []string{"EXECUTOR_JOB_SECTION_ATTEMPTS", systemdVariable, storageVariable}

// limits are those that a job may change.
type limits struct {
	job, service config.Resources
	wait         config.Duration
}

// override is one variable. set takes its value, or returns what is wrong with it. most is the
// administrator's maximum, empty if the variable is not allowed.
type override struct {
	most string
	set  func(value string) error
}

// overridden returns the administrator's limits with the job's changes.
func overridden(variables map[string]string, cfg *config.Config) (limits, error) {
	l := limits{cfg.Resources, cfg.ServiceResources(), cfg.Services.WaitTimeout}
	o := cfg.Job.Overrides
	known := map[string]override{
		"EXECUTOR_CPUS":                  cpus(&l.job.CPUs, o.CPUs),
		"EXECUTOR_MEMORY":                size(config.LeastMemory, o.Memory, func(s config.Size) { setMemory(&l.job, s) }),
		"EXECUTOR_MEMORY_SWAP":           size(config.LeastMemory, o.MemorySwap, func(s config.Size) { l.job.MemorySwap = s }),
		"EXECUTOR_PIDS_LIMIT":            whole(&l.job.PidsLimit, o.PidsLimit),
		"EXECUTOR_SHM_SIZE":              size(1, o.ShmSize, func(s config.Size) { l.job.ShmSize = s }),
		"EXECUTOR_SERVICE_CPUS":          cpus(&l.service.CPUs, o.ServiceCPUs),
		"EXECUTOR_SERVICE_MEMORY":        size(config.LeastMemory, o.ServiceMemory, func(s config.Size) { setMemory(&l.service, s) }),
		"EXECUTOR_SERVICES_WAIT_TIMEOUT": span(&l.wait, o.ServicesWaitTimeout),
	}
	// Sorted, so that EXECUTOR_MEMORY comes before EXECUTOR_MEMORY_SWAP, which it changes.
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		value := variables[name]
		if !strings.HasPrefix(name, overridePrefix) || value == "" || slices.Contains(elsewhere, name) {
			continue
		}
		switch v, ok := known[name]; {
		case !ok:
			return l, fault.Jobf("the job variable %s=%s is unknown to the executor: it knows %s; rename it, because the prefix %s is reserved",
				fault.Quote(name), fault.Quote(value), strings.Join(slices.Sorted(maps.Keys(known)), ", "), overridePrefix)
		case v.most == "":
			return l, fault.Jobf("the job variable %s=%s is not for jobs to set on this runner: remove it, or ask the runner's administrator to list it under [job.overrides]", name, fault.Quote(value))
		default:
			if err := v.set(value); err != nil {
				return l, fault.Jobf("the job variable %s=%s %w; the runner's administrator allows at most %s", name, fault.Quote(value), err, v.most)
			}
		}
	}
	if swap := l.job.MemorySwap; variables["EXECUTOR_MEMORY_SWAP"] != "" && (l.job.Memory == 0 || swap < l.job.Memory) {
		return l, fault.Jobf("the job variable EXECUTOR_MEMORY_SWAP=%s is memory and swap together, but the job's memory is %s: set EXECUTOR_MEMORY to at most that",
			fault.Quote(variables["EXECUTOR_MEMORY_SWAP"]), noLimit(l.job.Memory))
	}
	return l, nil
}

func noLimit(s config.Size) string {
	if s == 0 {
		return "not limited"
	}
	return s.String()
}

// setMemory keeps the amount of swap, and lowers the reservation to the limit.
func setMemory(r *config.Resources, memory config.Size) {
	if r.MemorySwap > 0 {
		r.MemorySwap += memory - r.Memory
	}
	r.Memory = memory
	r.MemoryReservation = min(r.MemoryReservation, memory)
}

func size(least, most config.Size, set func(config.Size)) override {
	if most == 0 {
		return override{}
	}
	return override{most.String(), func(value string) error {
		var s config.Size
		if err := s.UnmarshalTOML(value); err != nil {
			return fmt.Errorf(`is not a size such as "2GiB"`)
		}
		if s < least || s > most {
			return fmt.Errorf("is not from %s to %s", least, most)
		}
		set(s)
		return nil
	}}
}

func cpus(into *float64, most float64) override {
	if most == 0 {
		return override{}
	}
	return override{strconv.FormatFloat(most, 'f', -1, 64), func(value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("is not a number of processors such as 2.5")
		}
		if within := n >= config.LeastCPUs && n <= most; !within { // false for NaN
			return fmt.Errorf("is not from %v to %v", config.LeastCPUs, most)
		}
		*into = n
		return nil
	}}
}

func whole(into *int64, most int64) override {
	if most == 0 {
		return override{}
	}
	return override{strconv.FormatInt(most, 10), func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("is not a whole number from 1 to %d", most)
		}
		*into = n
		return nil
	}}
}

func span(into *config.Duration, most config.Duration) override {
	if most == 0 {
		return override{}
	}
	return override{most.String(), func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d > time.Duration(most) {
			return fmt.Errorf(`is not a time such as "90s" of at most %s`, most)
		}
		*into = config.Duration(d)
		return nil
	}}
}
