package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// What the configuration gives a container is what the job finds in it.
func TestRowResources(t *testing.T) {
	t.Parallel()
	harness.NeedsMemoryController(t)
	shared := filepath.Join(harness.World.Dir, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(shared, "file"), []byte("of the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf(`
[resources]
cpus = 1.5
cpuset_cpus = "0"
memory = "300m"
memory_swap = "400m"
memory_reservation = "200m"
pids_limit = 333
shm_size = "11m"
ulimits = ["nofile=1234:2345", "core=1234:2345"]

[container]
hostname = "ci-host"
volumes = ["%s:/shared:ro"]
tmpfs = ["/scratch:size=5m,mode=1777"]
devices = ["/dev/fuse:/dev/fuse:r"]
labels = ["com.example.team=ci"]
log_options = ["max-size=1m"]

[hardening]
sysctls = ["net.core.somaxconn=77"]
security_opt = ["no-new-privileges"]
`, shared)})
	s := p.Ready(t, harness.Job(t, "bookworm",
		`echo "shm $(df -k --output=size /dev/shm | tail -1 | tr -d ' ')"`,
		`echo "scratch $(df -k --output=size /scratch | tail -1 | tr -d ' ') $(stat -c %a /scratch)"`,
		`echo "files $(ulimit -Sn) $(ulimit -Hn)"; awk '/core file/ {print "core", $5, $6}' /proc/self/limits`,
		`echo "host $(uname -n)"`,
		`cat /shared/file; touch /shared/x 2>/dev/null || echo read-only`,
		`echo "device $(stat -c %F /dev/fuse)"`,
		`echo "cpus $(nproc)"`,
		`echo "backlog $(cat /proc/sys/net/core/somaxconn)"`))
	call := s.Run(t.Context(), runner.StageBuild)
	if call.Err != nil {
		t.Fatal(call)
	}
	for _, line := range []string{"shm 11264", "scratch 5120 1777", "files 1234 2345", "core 1234 2345", "host ci-host", "of the host", "read-only", "device character special file", "cpus 1", "backlog 77"} {
		if !call.Output.Has(line) {
			t.Errorf("no line %q in\n%s", line, call)
		}
	}
	c, err := harness.World.Engine.Inspect(t.Context(), p.Container(t, s))
	if err != nil {
		t.Fatal(err)
	}
	h := c.HostConfig
	if h.NanoCPUs != 1.5e9 || h.Memory != 300<<20 || h.MemorySwap != 400<<20 || h.MemoryReservation != 200<<20 || h.PidsLimit != 333 {
		t.Errorf("limits: %+v", h)
	}
	if c.Config.Labels["com.example.team"] != "ci" || h.LogConfig.Config["max-size"] != "1m" || strings.Join(h.SecurityOpt, " ") != "no-new-privileges" {
		t.Errorf("labels %v, log %v, security %v", c.Config.Labels, h.LogConfig, h.SecurityOpt)
	}
}

func TestJobOverrides(t *testing.T) {
	t.Parallel()
	harness.NeedsMemoryController(t)
	config := harness.Settings{Other: "[job.overrides]\nmemory = \"1g\"\ncpus = 1.5\nservice_memory = \"200m\"\nservices_wait_timeout = \"10s\"\n"}
	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		p := harness.NewPlace(t, config)
		j := harness.With(harness.Job(t, "bookworm", "true"), runner.Var("EXECUTOR_MEMORY", "512m"), runner.Var("EXECUTOR_CPUS", "0.5"),
			runner.Var("EXECUTOR_SERVICE_MEMORY", "100m"), runner.Var("EXECUTOR_SERVICES_WAIT_TIMEOUT", "7s"),
			runner.Var("EXECUTOR_PIDS_LIMIT", ""), runner.Var("EXECUTOR_JOB_SECTION_ATTEMPTS", "2"))
		j.Services = []runner.Image{harness.ShellService(t, "x", harness.Stay)}
		s, call := p.Prepared(t, j)
		if call.Err != nil {
			t.Fatal(call)
		}
		harness.WantTold(t, call, "Waiting for services to be up and running (timeout 7 seconds)...")
		found, err := harness.World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID), "io.gitlab-sysbox-executor.role=build")
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		c, err := harness.World.Engine.Inspect(t.Context(), found[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if c.HostConfig.Memory != 512<<20 || c.HostConfig.NanoCPUs != 5e8 {
			t.Errorf("%+v", c.HostConfig)
		}
		if svc := harness.ServicesOf(t, s); len(svc) != 1 || svc[0].HostConfig.Memory != 100<<20 {
			t.Errorf("%+v", svc)
		}
	})
	for name, c := range map[string]struct {
		variable runner.Variable
		want     []string
	}{
		"above the maximum": {runner.Var("EXECUTOR_MEMORY", "2g"), []string{"EXECUTOR_MEMORY", `"2g"`, "1GiB"}},
		"no limit":          {runner.Var("EXECUTOR_MEMORY", "0"), []string{"EXECUTOR_MEMORY", `"0"`, "1GiB"}},
		"malformed":         {runner.Var("EXECUTOR_CPUS", "many\nERROR: x"), []string{"EXECUTOR_CPUS", `"many\nERROR: x"`, "1.5"}},
		"long":              {runner.Var("EXECUTOR_CPUS", strings.Repeat("9", 100_000)), []string{"EXECUTOR_CPUS", "100000 bytes", "1.5"}},
		"not listed":        {runner.Var("EXECUTOR_PIDS_LIMIT", "5"), []string{"EXECUTOR_PIDS_LIMIT", `"5"`, "[job.overrides]"}},
		"unknown":           {runner.Var("EXECUTOR_PRIVILEGED", "true"), []string{"EXECUTOR_PRIVILEGED", `"true"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, config)
			_, call := p.Prepared(t, harness.With(harness.Job(t, "bookworm", "true"), c.variable))
			harness.WantRefused(t, call, c.want...)
		})
	}
}

func TestRowNetwork(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: `
[network]
dns = ["192.0.2.53"]
dns_search = ["ci.example.com"]
extra_hosts = ["registry.example.com:192.0.2.10", "outside:host-gateway"]
mtu = 1380
ipv6 = true
[hardening]
allow_unsafe = true # for engines before 27
`})
	// Only IPv4 is asked for where a name has no other address: the DNS server does not exist, and
	// each question to it waits for 10 s.
	j := harness.Job(t, "bookworm",
		`echo "mtu $(cat /sys/class/net/eth0/mtu)"`,
		`grep -o 'search ci.example.com' /etc/resolv.conf`,
		`echo "registry $(getent ahostsv4 registry.example.com | head -1 | cut -d' ' -f1)"`,
		`getent ahostsv4 outside >/dev/null && echo "outside is known"`,
		`[ "$(getent ahostsv4 build | head -1 | cut -d' ' -f1)" ] && echo "build is known"`,
		`ip -6 -o address show dev eth0 scope global | grep -q ' fd' && echo "an address of IPv6"`,
		`getent ahostsv6 x | grep -q ^fd && echo "the service has one, too"`)
	j.Services = []runner.Image{harness.ShellService(t, "x", harness.Stay)}
	harness.WantLines(t, p.Succeed(t, j), "mtu 1380", "search ci.example.com", "registry 192.0.2.10", "outside is known", "build is known",
		"an address of IPv6", "the service has one, too")
}

// What Sysbox would refuse at every job is refused when the file is read.
func TestRowResourcesRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, want string }{
		"privileged":       {"[hardening]\nprivileged = true", "hardening.privileged: true is not possible: Sysbox refuses privileged containers"},
		"host network":     {"[network]\nmode = \"host\"", `network.mode: "host" is not possible: Sysbox refuses`},
		"host users":       {"[hardening]\nuserns_mode = \"host\"", `hardening.userns_mode: "host" is not possible: Sysbox refuses it`},
		"host processes":   {"[hardening]\npid_mode = \"host\"", `hardening.pid_mode: "host" is not possible`},
		"host memory":      {"[hardening]\nipc_mode = \"host\"", `hardening.ipc_mode: "host" is not possible`},
		"over our storage": {"[container]\nvolumes = [\"/srv:/var/lib/containers/x\"]", "the target overlaps /var/lib/containers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: c.config})
			s, err := p.Runner.Open(harness.Job(t, "bookworm", "true"))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			call, _ := s.Config(t.Context())
			if call.Err == nil {
				t.Error("it was taken")
			}
			harness.WantTold(t, call, c.want)
		})
	}
}
