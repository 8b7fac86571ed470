package plan

import (
	"math"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/integration/heap"
)

const gib = config.Size(1 << 30)

func overridable() *config.Config {
	cfg := config.Default()
	cfg.Resources.Memory, cfg.Resources.MemorySwap, cfg.Resources.MemoryReservation = 2*gib, 3*gib, 2*gib
	cfg.Job.Overrides = config.Overrides{
		CPUs: 4, Memory: 8 * gib, MemorySwap: 16 * gib, PidsLimit: 1000, ShmSize: gib,
		ServiceCPUs: 2, ServiceMemory: 4 * gib, ServicesWaitTimeout: config.Duration(time.Minute),
	}
	return cfg
}

func TestOverridden(t *testing.T) {
	for _, c := range []struct {
		name      string
		variables map[string]string
		check     func(limits) bool
	}{
		{"nothing", nil, func(l limits) bool { return l.job.Memory == 2*gib && l.service.Memory == 2*gib }},
		{"empty ones, the Runner's and others", map[string]string{"EXECUTOR_MEMORY": "", "EXECUTOR_NONE": "", "EXECUTOR_JOB_SECTION_ATTEMPTS": "3", "MY_EXECUTOR_X": "1"},
			func(l limits) bool { return l.job.Memory == 2*gib }},
		{"all", map[string]string{
			"EXECUTOR_CPUS": "1.5", "EXECUTOR_MEMORY": "8g", "EXECUTOR_MEMORY_SWAP": "16GiB", "EXECUTOR_PIDS_LIMIT": "1000",
			"EXECUTOR_SHM_SIZE": "1", "EXECUTOR_SERVICE_CPUS": "0.5", "EXECUTOR_SERVICE_MEMORY": "3g", "EXECUTOR_SERVICES_WAIT_TIMEOUT": "1m",
		}, func(l limits) bool {
			return l.job.CPUs == 1.5 && l.job.Memory == 8*gib && l.job.MemorySwap == 16*gib && l.job.PidsLimit == 1000 && l.job.ShmSize == 1 &&
				l.service.CPUs == 0.5 && l.service.Memory == 3*gib && l.service.MemorySwap == 4*gib && l.wait == config.Duration(time.Minute)
		}},
		{"memory keeps the swap it had", map[string]string{"EXECUTOR_MEMORY": "1g"}, func(l limits) bool {
			return l.job.MemorySwap == 2*gib && l.job.MemoryReservation == gib
		}},
		{"no waiting", map[string]string{"EXECUTOR_SERVICES_WAIT_TIMEOUT": "-1s"}, func(l limits) bool { return l.wait < 0 }},
	} {
		l, err := overridden(c.variables, overridable())
		if err != nil || !c.check(l) {
			t.Errorf("%s: %+v, %v", c.name, l, err)
		}
	}
}

// The default limit of processes stands until a job sets its own, which may be above
// it where the administrator's maximum is.
func TestOverriddenPids(t *testing.T) {
	cfg := config.Default()
	cfg.Job.Overrides.PidsLimit = 32768
	for value, want := range map[string]int64{"": 16384, "100": 100, "32768": 32768} {
		l, err := overridden(map[string]string{"EXECUTOR_PIDS_LIMIT": value}, cfg)
		if err != nil || l.job.PidsLimit != want || l.service.PidsLimit != 16384 {
			t.Errorf("%q: %d and %d for services, %v", value, l.job.PidsLimit, l.service.PidsLimit, err)
		}
	}
	if _, err := overridden(map[string]string{"EXECUTOR_PIDS_LIMIT": "32769"}, cfg); err == nil {
		t.Error("a job may have more than the maximum")
	}
}

func TestOverriddenRefuses(t *testing.T) {
	closed := config.Default()
	for name, values := range map[string][]string{
		"EXECUTOR_CPUS":                  {"0", "-1", "4.01", "NaN", "inf", "two", " 1", "1e309"},
		"EXECUTOR_MEMORY":                {"0", "-1", "unlimited", "1m", "9g", "8193m", "x", "1g\n", "99999999999999999999g"},
		"EXECUTOR_MEMORY_SWAP":           {"1g", "17g", "unlimited", "0"},
		"EXECUTOR_PIDS_LIMIT":            {"0", "-1", "1001", "1.5", "9999999999999999999999"},
		"EXECUTOR_SHM_SIZE":              {"0", "-1", "2g"},
		"EXECUTOR_SERVICE_CPUS":          {"3"},
		"EXECUTOR_SERVICE_MEMORY":        {"5g"},
		"EXECUTOR_SERVICES_WAIT_TIMEOUT": {"61s", "30", "x"},
		"EXECUTOR_PRIVILEGED":            {"true"},
		"EXECUTOR_":                      {"x", strings.Repeat("y", 100_000)},
	} {
		for _, value := range values {
			for _, cfg := range []*config.Config{overridable(), closed} {
				_, err := overridden(map[string]string{name: value}, cfg)
				if err == nil || fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), name) ||
					!strings.Contains(err.Error(), fault.Quote(value)) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
					t.Errorf("%s=%.20q: %.700v", name, value, err)
				}
			}
		}
	}
}

// What is allowed is within the maximum, whatever a job writes.
func FuzzOverridden(f *testing.F) {
	for _, s := range []string{"1g", "0", "-1", "NaN", "0x1p4", "1e3", "\x00", "8GiB"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, memory, cpus string) {
		defer heap.Bounded(t)()
		cfg := overridable()
		l, err := overridden(map[string]string{"EXECUTOR_MEMORY": memory, "EXECUTOR_CPUS": cpus}, cfg)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
				t.Errorf("%.1100q", err)
			}
			return
		}
		if l.job.Memory <= 0 || l.job.Memory > 8*gib || math.IsNaN(l.job.CPUs) || l.job.CPUs < 0 || l.job.CPUs > 4 || l.job.MemorySwap < l.job.Memory {
			t.Errorf("%+v", l.job)
		}
	})
}
