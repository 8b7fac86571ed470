package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What opens a way to the host or to other jobs is refused, with what it opens.
func TestHostileSettingsNeedALeave(t *testing.T) {
	const remount = `lets a job make every read-only mount of its containers writable (mount_setattr(2), which Sysbox does not see), so that it can change the images that all jobs share and each volume with ":ro"`
	const leave = "; remove it, or write hardening.allow_unsafe = true if every job may do so"
	for name, c := range map[string]struct{ data, want string }{
		"a capability":      {"[hardening]\ncap_add = [\"NET_ADMIN\", \"SYS_ADMIN\"]", `c.toml:2: hardening.cap_add: "SYS_ADMIN" ` + remount + leave},
		"its other name":    {"[hardening]\ncap_add = [\"CAP_SYS_ADMIN\"]", `c.toml:2: hardening.cap_add: "CAP_SYS_ADMIN" ` + remount + leave},
		"all capabilities":  {"[hardening]\ncap_add = [\"ALL\"]", `c.toml:2: hardening.cap_add: "ALL" ` + remount + leave},
		"no filter":         {"[hardening]\nsecurity_opt = [\"seccomp=unconfined\"]", `c.toml:2: hardening.security_opt: "seccomp=unconfined" ` + remount + leave},
		"another runtime":   {"[services]\nruntime = \"runc\"", `c.toml:2: services.runtime: "runc" runs services without the isolation of "sysbox-runc": jobs choose their images, and with runc their root is the host's root, next to the job's volumes` + leave},
		"the data root":     {"[container]\nvolumes = [\"/var/lib/docker/volumes:/v\"]", `c.toml:2: container.volumes: "/var/lib/docker/volumes:/v": the source overlaps /var/lib/docker, where the engine keeps the files of all containers` + leave},
		"the machine's own": {"[container]\nvolumes = [\"/etc/cron.d:/v\"]", `c.toml:2: container.volumes: "/etc/cron.d:/v": the source overlaps /etc, where write access gives control of the host` + leave},
		"its secrets":       {"[container]\nvolumes = [\"/etc/gitlab-runner:/v:ro\"]", `c.toml:2: container.volumes: "/etc/gitlab-runner:/v:ro": the source overlaps /etc/gitlab-runner, where the Runner's tokens are` + leave},
		"above them":        {"[container]\nvolumes = [\"/etc:/v:ro\"]", `c.toml:2: container.volumes: "/etc:/v:ro": the source overlaps /etc/gitlab-runner, where the Runner's tokens are` + leave},
		"devices":           {"[container]\nvolumes = [\"/dev/sda:/v\"]", `c.toml:2: container.volumes: "/dev/sda:/v": the source overlaps /dev, which contains the host's disks` + leave},
		"the kernel":        {"[container]\nvolumes = [\"/proc/sys:/v:ro\"]", `c.toml:2: container.volumes: "/proc/sys:/v:ro": the source overlaps /proc, which gives access to the host's kernel and processes` + leave},
		"where it is filled": {"[images]\nvolumes = [\"/sys:/v\"]",
			`c.toml:2: images.volumes: "/sys:/v": the source overlaps /sys, which gives access to the host's kernel` + leave},
	} {
		t.Run(name, func(t *testing.T) {
			wantErrors(t, c.data, c.want)
			cfg, err := parse("c.toml", c.data+"\n[hardening]\nallow_unsafe = true")
			if strings.HasPrefix(c.data, "[hardening]") {
				cfg, err = parse("c.toml", c.data+"\nallow_unsafe = true")
			}
			if err != nil {
				t.Fatal(err)
			}
			if said := cfg.Unsafe(); len(said) != 1 || !strings.HasPrefix(c.want, "c.toml:2: "+said[0]) {
				t.Errorf("%q", said)
			}
		})
	}
	for _, data := range []string{
		"[hardening]\nsecurity_opt = [\"seccomp=/etc/ci.json\"]\ncap_add = [\"NET_ADMIN\"]\ncap_drop = [\"ALL\", \"SYS_ADMIN\"]",
		"runtime = \"other\"\n[services]\nruntime = \"other\"",
		"[container]\nvolumes = [\"/etc/ssl/certs:/v:ro\", \"/usr/share/ca-certificates:/w:ro\", \"/srv:/x\", \"named:/y\", \"/z\"]",
	} {
		wantErrors(t, data)
	}
	if said := Default().Unsafe(); len(said) > 0 {
		t.Errorf("%q", said)
	}
}

// The engine's socket is the host's root: no leave is given for it.
func TestHostileNoSocketOfTheEnginesIsAVolume(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "run", "engine.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link, folder := filepath.Join(dir, "link"), filepath.Join(dir, "folder")
	for path, to := range map[string]string{link: socket, folder: filepath.Dir(socket)} {
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{socket, dir, link, folder, filepath.Join(folder, "engine.sock"),
		"/var/run/docker.sock", "/run/docker.sock", "/run", "/run/containerd/containerd.sock", "/run/containerd", "/var/run/containerd"}
	for _, source := range all {
		for _, unsafe := range []bool{false, true} {
			data := fmt.Sprintf("[engine]\nhost = \"unix://%s\"\n[hardening]\nallow_unsafe = %t\n[container]\nvolumes = [\"%s:/v:ro\"]", socket, unsafe, source)
			_, err := parse("c.toml", data)
			if err == nil || !strings.Contains(err.Error(), "c.toml:6: container.volumes: ") || !strings.Contains(err.Error(), "a process that connects to it has root on the host") {
				t.Errorf("%s, allow_unsafe = %t: %v", source, unsafe, err)
			}
		}
	}
	if !slices.Contains(all, socket) {
		t.Fatal("the socket itself was not tried")
	}
	wantErrors(t, fmt.Sprintf("[engine]\nhost = \"unix://%s\"\n[container]\nvolumes = [\"%s/other:/v\"]", socket, dir))
}
