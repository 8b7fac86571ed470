package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestContainer(t *testing.T) {
	wantErrors(t, `[container]
hostname = "ci"
volumes = ["/srv/models:/models:ro", "cache-of-all:/shared", "/etc/ssl/certs:/etc/ssl/certs:ro", "/srv/secret:/run/secrets/x:ro", "/certs/client"]
tmpfs = ["/scratch", "/tmp:size=1g,mode=1777", "/run:rw,size=64m"]
devices = ["/dev/kvm", "/dev/snd:/dev/snd", "/dev/ttyUSB0:/dev/ttyUSB0:rw"]
gpus = "device=0,GPU-1f2e"
labels = ["com.example.team=ci", "plain="]
log_options = ["max-size=10m", "max-file=3"]`)
	tests := []struct{ key, value, want string }{
		{"hostname", `"a.b"`, `"a.b" is not the name of a host: letters, digits and "-", 63 at most; write for example "ci"`},
		{"tmpfs", `["/x:"]`, `"/x:" is not path or path:options; write for example "/tmp:size=1g,mode=1777"`},
		{"tmpfs", `["/x:size=1 g"]`, `"/x:size=1 g" is not path or path:options; write for example "/tmp:size=1g,mode=1777"`},
		{"tmpfs", `["/var/lib/containers"]`, `"/var/lib/containers" overlaps /var/lib/containers, which is the job's storage volume; choose another path`},
		{"devices", `["/etc/passwd"]`, `"/etc/passwd" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/kvm:/dev/kvm:x"]`, `"/dev/kvm:/dev/kvm:x" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/snd:/dev/sound"]`, `"/dev/snd:/dev/sound" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/kvm:"]`, `"/dev/kvm:" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/kvm:/dev/kvm:"]`, `"/dev/kvm:/dev/kvm:" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/../etc/passwd"]`, `"/dev/../etc/passwd" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"devices", `["/dev/kvm:/dev/kvm:r:w"]`, `"/dev/kvm:/dev/kvm:r:w" is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`},
		{"gpus", `"some"`, `"some" is not possible; write "all", a number, or for example "device=0,2"`},
		{"labels", `["io.gitlab-sysbox-executor.job=1"]`, `io.gitlab-sysbox-executor.job has the prefix of the executor's own labels, which mark what a cleanup removes; write for example "com.example.team=ci"`},
		{"labels", `["com.gitlab.gitlab-runner.managed=true"]`, `com.gitlab.gitlab-runner.managed has the prefix of the labels that mark what GitLab Runner's own tools remove; write for example "com.example.team=ci"`},
		{"labels", `["x"]`, `"x" is not name=value; write for example "com.example.team=ci"`},
		{"log_options", `["syslog-address=x"]`, `syslog-address is not an option of the json-file log driver: those are ` + strings.Join(logOptions, ", ") + `; write for example "max-size=10m"`},
	}
	for _, tt := range tests {
		t.Run(tt.key+" "+tt.value, func(t *testing.T) {
			wantErrors(t, fmt.Sprintf("[container]\n%s = %s", tt.key, tt.value), fmt.Sprintf("c.toml:2: container.%s: %s", tt.key, tt.want))
		})
	}
}

func TestVolumesStayClearOfOurs(t *testing.T) {
	const right = `; write for example "/srv/models:/models:ro", "name:/path" for one of the engine's volumes, or "/path" for a new volume for each job`
	for volume, want := range map[string]string{
		"data":         `"data" is not source:target, source:target:ro or an absolute path` + right,
		"/a:/b:rw:z":   `"/a:/b:rw:z" is not source:target, source:target:ro or an absolute path` + right,
		"/a:/b:shared": `"/a:/b:shared" is not source:target, source:target:ro or an absolute path` + right,
		"../a:/b":      `"../a:/b": the source "../a" is neither an absolute path nor the name of a volume` + right,
		"/:/host":      `"/:/host": the source is the root of the file system or not a clean path` + right,
		"/a/../b:/b":   `"/a/../b:/b": the source is the root of the file system or not a clean path` + right,
		"/var/lib/gitlab-sysbox-executor/jobs:/jobs": `"/var/lib/gitlab-sysbox-executor/jobs:/jobs": the source overlaps state_dir "/var/lib/gitlab-sysbox-executor", where other jobs' files are` + right,
		"/a:b":                         `"/a:b": the target is not a clean absolute path` + right,
		"/":                            `"/": the target is not a clean absolute path` + right,
		"/certs/":                      `"/certs/": the target is not a clean absolute path` + right,
		"/cache":                       `"/cache": the target overlaps job.cache_dir "/cache", which belongs to the job; choose another`,
		"/a:/":                         `"/a:/": the target is not a clean absolute path` + right,
		"/a:/b/../c":                   `"/a:/b/../c": the target is not a clean absolute path` + right,
		"/a:/var/lib":                  `"/a:/var/lib": the target overlaps /var/lib/containers, which is the job's storage volume; choose another`,
		"/a:/proc/x":                   `"/a:/proc/x": the target overlaps /proc, which belongs to the kernel; choose another`,
		"/a:/opt":                      `"/a:/opt": the target overlaps /opt/gitlab-sysbox-executor, which holds the executor's agent; choose another`,
		"/a:/etc":                      `"/a:/etc": the target overlaps /etc/containers/storage.conf, which sets the storage driver of container tools; choose another`,
		"/a:/builds/x":                 `"/a:/builds/x": the target overlaps job.builds_dir "/builds", which belongs to the job; choose another`,
		"/a:/run":                      `"/a:/run": the target overlaps /run, which is hidden when systemd starts; choose another`,
		"/s.sock:/var/run/docker.sock": `"/s.sock:/var/run/docker.sock": the target overlaps /var/run, which is a link to /run; choose another`,
	} {
		t.Run(volume, func(t *testing.T) {
			wantErrors(t, fmt.Sprintf("[container]\nvolumes = [%q]", volume), "c.toml:2: container.volumes: "+want)
		})
	}
}

// Nested mounts are fine; two at one path are not.
func TestOneMountForEachTarget(t *testing.T) {
	wantErrors(t, "[container]\nvolumes = [\"/a:/x\", \"/b:/x/y\", \"/x/z\"]\ntmpfs = [\"/x/w\", \"/y\"]\n[services]\ntmpfs = [\"/y\"]\n[images]\nvolumes = [\"/a:/x\"]")
	wantErrors(t, "[container]\nvolumes = [\"/a:/x\", \"/b:/x:ro\", \"/y\", \"/y\"]\ntmpfs = [\"/x:size=1m\", \"/z\", \"/z:size=1m\"]\n[services]\ntmpfs = [\"/y\"]\n[images]\nvolumes = [\"/a:/x\", \"/b:/x\"]",
		`c.toml:2: container.volumes: "/b:/x:ro": the target is the same as that of "/a:/x"; keep one`,
		`c.toml:2: container.volumes: "/y": the target is the same as that of "/y"; keep one`,
		`c.toml:3: container.tmpfs: "/x:size=1m": the path is the same as that of "/b:/x:ro" in container.volumes; keep one`,
		`c.toml:3: container.tmpfs: "/z:size=1m": the path is the same as that of "/z"; keep one`,
		`c.toml:5: services.tmpfs: "/y": the path is the same as that of "/y" in container.volumes; keep one`,
		`c.toml:7: images.volumes: "/b:/x": the target is the same as that of "/a:/x"; keep one`)
}

func TestServices(t *testing.T) {
	wantErrors(t, "[services]\nwait_timeout = \"-1s\"\nlimit = 0\nstop_grace = \"10s\"\nruntime = \"sysbox-runc\"\n[services.resources]\nmemory = \"1g\"\nmemory_swap = \"2g\"")
	wantErrors(t, "[services]\nlimit = -2\nruntime = \"a b\"\n[services.resources]\nmemory = 1\nmemory_swap = \"1g\"",
		"c.toml:2: services.limit: -2 is not a number of services; write for example 5, or -1 for no limit",
		`c.toml:3: services.runtime: "a b" is not the name of a runtime; write for example "sysbox-runc"`,
		"c.toml:5: services.resources.memory: 1B is less than the engine's minimum, 6MiB; write at least that, or 0 for no limit")
	for _, grace := range []string{"-1s", "11s", "1500ms"} {
		_, err := parse("c.toml", fmt.Sprintf("services.stop_grace = %q", grace))
		if err == nil || !strings.Contains(err.Error(), "is not a number of whole seconds between 0s and 10s") {
			t.Errorf("%s: %v", grace, err)
		}
	}
}

func TestSubnets(t *testing.T) {
	wantErrors(t, "[network]\nsubnets = [\"10.0.0.0/8\", \"192.0.2.0/27\"]\nexcluded_subnets = [\"10.0.0.1/32\"]")
	wantErrors(t, "network.subnets = []")
	wantErrors(t, "[network]\nsubnets = [\"10.0.0.5/16\", \"x\", \"fd00::/48\", \"10.0.0.0/28\"]\nexcluded_subnets = [\"10.0.0.1\"]",
		`c.toml:2: network.subnets: "10.0.0.0/28" is too small: the network of one job needs a /27; write for example "10.0.0.0/20"`,
		`c.toml:2: network.subnets: "10.0.0.5/16" is an address within a range; write "10.0.0.0/16"`,
		`c.toml:2: network.subnets: "fd00::/48" is not an IPv4 range; write for example "172.26.0.0/15"`,
		`c.toml:2: network.subnets: "x" is not an IPv4 range; write for example "172.26.0.0/15"`,
		`c.toml:3: network.excluded_subnets: "10.0.0.1" is not an IPv4 range; write for example "172.26.0.0/15"`)
}

// What is not said of services is as for jobs; memory is one decision.
func TestServiceResources(t *testing.T) {
	cfg := Default()
	cfg.Resources = Resources{CPUs: 2, CpusetCPUs: "0-1", Memory: 1 << 30, MemorySwap: 2 << 30, PidsLimit: 100, Ulimits: []string{"core=0"}, CgroupParent: "/ci"}
	if got := cfg.ServiceResources(); got.CPUs != 2 || got.MemorySwap != 2<<30 || got.PidsLimit != 100 || len(got.Ulimits) != 1 || got.CgroupParent != "/ci" || got.CpusetCPUs != "0-1" {
		t.Errorf("%+v", got)
	}
	cfg.Services.Resources = Resources{CPUs: 1, Memory: 512 << 20, PidsLimit: -1}
	if got := cfg.ServiceResources(); got.CPUs != 1 || got.Memory != 512<<20 || got.MemorySwap != 0 || got.PidsLimit != -1 {
		t.Errorf("%+v", got)
	}
}

func TestOverrides(t *testing.T) {
	wantErrors(t, "[job.overrides]\ncpus = 4.5\nmemory = \"8g\"\nmemory_swap = \"16g\"\npids_limit = 5\nshm_size = 1\nservice_cpus = 1\nservice_memory = \"6m\"\nservices_wait_timeout = \"5m\"")
	wantErrors(t, "[job.overrides]\ncpus = inf\nmemory = \"unlimited\"\npids_limit = -1\nservices_wait_timeout = \"-1s\"",
		"c.toml:2: job.overrides.cpus: +Inf is not a number of processors from 0.01 to 8192; write for example 4.0, or 0 to keep jobs from setting it",
		`c.toml:3: job.overrides.memory: "unlimited" is not allowed here; write for example "4GiB", or 0`,
		"c.toml:4: job.overrides.pids_limit: -1 is not a number of tasks; write for example 4096, or 0 to keep jobs from setting it",
		`c.toml:5: job.overrides.services_wait_timeout: -1s is not a duration; write for example "5m", or "0s" to keep jobs from setting it`)
}
