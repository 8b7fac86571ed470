package known

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTablesAreWhole(t *testing.T) {
	for _, v := range versions() {
		if _, ok := Tools[v.Tool]; !ok && v.Tool != Sysbox {
			t.Errorf("%s is no tool", v.Tool)
		}
		if v.Range == "" || v.Effect == "" || v.Advice == "" || v.Source == "" {
			t.Errorf("incomplete: %+v", v)
		}
	}
	for _, f := range failures() {
		if f.Pattern == "" || f.Meaning == "" || f.Advice == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if _, err := os.Stat(filepath.Join("../../docs/cases", f.Page+".md")); err != nil {
			t.Errorf("%s: %v", f.Pattern, err)
		}
		if f.pattern.MatchString("") || f.pattern.MatchString("all is well\n") {
			t.Errorf("%s matches anything", f.Pattern)
		}
	}
}

func TestHits(t *testing.T) {
	for name, c := range map[string]struct {
		found map[string]string
		want  []string
	}{
		"nothing":            {nil, nil},
		"good":               {map[string]string{"runc": "1.2.2", Sysbox: "0.7.0"}, nil},
		"bad":                {map[string]string{"runc": "1.2.1", Sysbox: "0.7.0"}, []string{"cgroup"}},
		"a candidate":        {map[string]string{"runc": "1.2.0-rc.1"}, []string{"cgroup"}},
		"with an old Sysbox": {map[string]string{"runc": "1.3.3", Sysbox: "0.6.5"}, []string{"before 0.6.6", "unsafe procfs"}},
		"unknown Sysbox":     {map[string]string{"runc": "1.3.3"}, nil},
		"Debian's":           {map[string]string{"runc": "1.1.5+ds1", "crun": "1.8.1", "podman": "4.3.1+ds1"}, nil},
		"a release of two":   {map[string]string{"crun": "1.27", "podman": "5.6.2"}, nil},
		"an old one of two":  {map[string]string{"crun": "1.6", "podman": "5.6.2"}, []string{"unknown version"}},
		"a new Podman on it": {map[string]string{"crun": "1.14.1", "podman": "5.6.2"}, []string{"unknown version"}},
		"BuildKit's own":     {map[string]string{"buildkit-runc": "1.2.1"}, []string{"cgroup"}},
		"not a version":      {map[string]string{"runc": "unknown"}, nil},
		"two tools":          {map[string]string{"runc": "1.2.0", "buildah": "1.44.0"}, []string{"cgroup", "build context"}},
		"the host's":         {map[string]string{Sysbox: "0.6.3"}, []string{"/run"}},
		"between two ranges": {map[string]string{"runc": "1.3.2", Sysbox: "0.6.7"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			hits := Hits(c.found)
			if len(hits) != len(c.want) {
				t.Fatalf("%+v", hits)
			}
			for n, h := range hits {
				if !strings.Contains(h.Effect, c.want[n]) {
					t.Errorf("%+v, want %s", h, c.want[n])
				}
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for printed, want := range map[string]string{
		"runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1\nspec: 1.0.2-dev":                                                                                  "1.1.5+ds1",
		"buildkitd github.com/moby/buildkit v0.17.0 fa8e6c1":                                                                                            "0.17.0",
		"buildah version 1.28.2 (image-spec 1.0.2, runtime-spec 1.0.2)":                                                                                 "1.28.2",
		"Docker version 20.10.24+dfsg1, build 297e128":                                                                                                  "20.10.24+dfsg1",
		"sysbox-runc\n\tedition: \tCommunity\n\tversion: \t0.7.0\n":                                                                                     "0.7.0",
		"crun version 1.27\ncommit: ...\nrundir: /run/crun\nspec: 1.0.0\n+SYSTEMD +SELINUX\n":                                                           "1.27",
		"crun version 1.25.1\ncommit: 156ae065d4a322d149c7307034f98d9637aa92a2\nrundir: /run/user/502/crun\nspec: 1.0.0\n+SYSTEMD +SELINUX +APPARMOR\n": "1.25.1",
		"crun version 1.6\ncommit: 18cf2efbb8feb2b2f20e316520e0fd0b6c41ef4d\nspec: 1.0.0\n+SYSTEMD +SELINUX +APPARMOR +CAP\n":                           "1.6",
		"crun version 1.0\ncommit: 139dc6971e2f1d931af520188763e984d6cdfbf8\nspec: 1.0.0\n+SYSTEMD +SELINUX +APPARMOR +CAP\n":                           "1.0",
		"crun 0.10.6\nspec: 1.0.0\n+SYSTEMD +SELINUX +CAP +SECCOMP +EBPF +YAJL\n":                                                                       "0.10.6",
		"crun version 1.27-rc1\nspec: 1.0.0":                                                                                                            "1.27-rc1",
		"crun version 1.27+ds1\nspec: 1.0.0":                                                                                                            "1.27+ds1",
		"crun version UNKNOWN\nspec: 1.0.0":                                                                                                             "",
		"podman version 5.0.0-dev":                                                                                                                      "5.0.0-dev",
		"crun version UNKNOWN":                                                                                                                          "",
		"":                                                                                                                                              "",
	} {
		if got := Number(printed); got != want {
			t.Errorf("%q gives %q, want %q", printed, got, want)
		}
	}
}

// Messages as the tools print them.
func TestExplain(t *testing.T) {
	for message, page := range map[string]string{
		"Error: mkdir /var/tmp/buildah1/mnt/rootfs/dev: file exists": "buildah",
		`level=error msg="replacing mount point \"/var/lib/containers/storage/overlay/x/merged\": device or resource busy /x/merged: device or resource busy"`:                "buildah",
		"runc run failed: unable to destroy container: open /sys/fs/cgroup/abc: no such file or directory":                                                                    "buildkit",
		"[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 42 [0 1000 1 1 100000 65536] failed: newuidmap: write to uid_map failed: Operation not permitted": "buildkit",
		"OCI runtime create failed: unsafe procfs detected: openat2 fsmount":                                                                                                  "runc",
		"Error: crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted: OCI permission denied":                                                                              "podman",
		`setting "RLIMIT_NPROC" limit to soft=96365,hard=96365 (was soft=32768,hard=32768): operation not permitted`:                                                          "podman",
		"Error: OCI runtime error: crun: mount `proc` to `proc`: Invalid argument":                                                                                            "runc",
		"Error: OCI runtime error: crun: mount `/sys` to `sys`: Invalid argument":                                                                                             "runc",
		`error mounting "proc" to rootfs at "/proc": mount src=proc, dst=/proc, dstFd=/proc/thread-self/fd/8: invalid argument`:                                               "runc",
		"Error: could not find slirp4netns, the network namespace can't be configured: exec: \"slirp4netns\": executable file not found in $PATH":                             "podman",
		`level=error msg="runc run failed: error mounting \"proc\" to rootfs at \"/proc\": mount src=proc, dst=/proc: invalid argument"`:                                      "runc",
		`error mounting "/proc" to rootfs at "/proc": mount /proc:/proc (via /proc/self/fd/6), flags: 0x500e: invalid argument`:                                               "runc",
		"unable to resolve docker endpoint: open /certs/client/ca.pem: no such file or directory":                                                                             "docker",
		"Error: cannot use networks as rootless":                                                                    "buildah",
		"Error: exec: \"slirp4netns\": executable file not found in $PATH":                                          "buildah",
		"open(\"/dev/net/tun\"): No such file or directory":                                                         "podman",
		"fuse: device not found, try 'modprobe fuse' first":                                                         "buildah",
		"write /var/lib/containers/tmp/x: no space left on device":                                                  "buildah",
		"System has not been booted with systemd as init system (PID 1). Can't operate.":                            "systemd",
		`Error: loading "/var/lib/containers/storage/vfs-layers/layers.json": unexpected end of JSON input`:         "buildah",
		"Close_Fd sealing memfd copy: Device or resource busy\nError: building at STEP \"RUN true\": exit status 1": "buildah",
		"Error: creating container: 4f6b2c: layer not known":                                                        "buildah",
		"ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?":  "docker",
	} {
		for name, text := range map[string]string{"last": message + "\n", "unended": message, "earlier": message + "\nexit\n", "after much": strings.Repeat("x\n", tailSize) + message} {
			var out bytes.Buffer
			tail := NewTail(&out)
			for piece := range strings.SplitSeq(text, " ") { // lines arrive in pieces
				if _, err := tail.Write([]byte(piece + " ")); err != nil {
					t.Fatal(err)
				}
			}
			f, ok := tail.Explain()
			if !ok || f.Page != page {
				t.Errorf("%s %q: %v %q, want %q", name, message, ok, f.Page, page)
			}
			if out.Len() != len(text)+1 {
				t.Errorf("%d bytes of %d passed on", out.Len(), len(text)+1)
			}
		}
	}
	for _, text := range []string{"", "all is well\n", "\x1b[32;1m$ grep 'no space left on device' log\x1b[0;m\n",
		"no space left on device\n" + strings.Repeat("x\n", tailSize)} {
		tail := NewTail(new(bytes.Buffer))
		if _, err := tail.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if f, ok := tail.Explain(); ok {
			t.Errorf("%.50q is explained as %q", text, f.Meaning)
		}
		if len(tail.kept) > 2*tailSize {
			t.Errorf("%d bytes kept", len(tail.kept))
		}
	}
}
