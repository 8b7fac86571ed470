package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type object = map[string]any

// machine is a Debian 13 with systemd as the first process: a container of runc with all rights, so that it has
// Docker, loop devices and mounts as a host has. Its network is its own, without a way out.
type machine struct {
	t    *testing.T
	dir  string
	name string
	root string // the machine's files
}

// repo is the root of the repository.
func repo(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a program of this machine and returns its standard output.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), env...)
	c.Dir = repo(t)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

// tree unpacks a test image.
func tree(t *testing.T, image, folder string) {
	t.Helper()
	tarball := strings.TrimSpace(command(t, nil, "scripts/image.sh", image))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "tar", "-C", folder, "-xzf", tarball)
}

// scratch is a folder on the disk: an engine's overlay needs one.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "gsx-machine-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("rm", "-rf", "--one-file-system", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return dir
}

// boot starts a machine, and waits until systemd has started what it has to.
func boot(t *testing.T) *machine {
	t.Helper()
	dir := scratch(t)
	m := &machine{t: t, dir: dir, name: filepath.Base(dir), root: filepath.Join(dir, "root")}
	tree(t, "machine", m.root)
	m.prepare()
	text, err := json.Marshal(m.spec())
	if err != nil {
		t.Fatal(err)
	}
	m.write("../config.json", string(text))
	log, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c := m.runc("run", "--detach", "--bundle", dir, m.name)
	c.Stdout, c.Stderr = log, log
	err = c.Run()
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "console"))
			t.Logf("the machine's console:\n%s", text)
		}
		if out, err := m.runc("delete", "--force", m.name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err != nil {
		text, _ := os.ReadFile(filepath.Join(dir, "console"))
		t.Fatalf("%v: %s", err, text)
	}
	m.run("until [ -S /run/systemd/private ]; do sleep 0.1; done; systemctl is-system-running --wait || { systemctl --failed --no-legend; journalctl --no-pager -b -p warning; exit 1; }")
	return m
}

// prepare lays what a machine needs besides its image.
func (m *machine) prepare() {
	m.write("etc/hostname", "machine\n")
	m.write("etc/hosts", "127.0.0.1 localhost machine\n")
	m.write("etc/machine-id", "")
	// The kernel's settings are this machine's.
	for _, unit := range []string{"systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer"} {
		m.link("/dev/null", "etc/systemd/system/"+unit)
	}
	const standin = "/usr/local/bin/sysbox-standin"
	command(m.t, []string{"CGO_ENABLED=0"}, goCommand(), "build", "-trimpath", "-o", filepath.Join(m.root, standin), "./scripts/standin")
	daemon := object{
		"registry-mirrors": []string{"http://127.0.0.1:5000"}, "log-level": "warn", "userns-remap": "default",
		"runtimes": object{"sysbox-runc": object{"path": standin}},
	}
	text, err := json.Marshal(daemon)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("etc/docker/daemon.json", string(text))
	m.write("etc/docker/registry/config.yml", "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/docker-registry}}\nhttp: {addr: \"127.0.0.1:5000\"}\n")
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) link(target, path string) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	_ = os.Remove(path)
	if err := os.Symlink(target, path); err != nil {
		m.t.Fatal(err)
	}
}

// spec is the container's config.json (https://github.com/opencontainers/runtime-spec).
func (m *machine) spec() object {
	// A machine may withhold some, and then nobody can have them.
	_, bounding, _ := strings.Cut(command(m.t, []string{"LC_ALL=C"}, "setpriv", "--dump"), "Capability bounding set: ")
	bounding, _, _ = strings.Cut(bounding, "\n")
	var capabilities []string
	for name := range strings.SplitSeq(bounding, ",") {
		capabilities = append(capabilities, "CAP_"+strings.ToUpper(name))
	}
	devices := []object{{"path": "/dev/loop-control", "type": "c", "major": 10, "minor": 237, "fileMode": 0o660}, {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}}
	for n := range 256 {
		devices = append(devices, object{"path": fmt.Sprintf("/dev/loop%d", n), "type": "b", "major": 7, "minor": n, "fileMode": 0o660})
	}
	mount := func(kind, at string, options ...string) object {
		return object{"type": kind, "source": kind, "destination": at, "options": options}
	}
	var namespaces []object
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount", "cgroup"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	return object{
		"ociVersion": "1.0.2",
		"hostname":   "machine",
		"root":       object{"path": m.root},
		"process": object{
			"args": []string{"/sbin/init"}, "cwd": "/", "user": object{"uid": 0, "gid": 0},
			// systemd of Debian 13 takes cgroup v1 only with the second word (systemd 256, NEWS).
			"env":          []string{"container=oci", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=no SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"},
			"capabilities": object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
		},
		"mounts": []object{
			mount("proc", "/proc"), mount("sysfs", "/sys"), mount("cgroup", "/sys/fs/cgroup", "rw"),
			mount("tmpfs", "/dev", "mode=755"), mount("devpts", "/dev/pts", "newinstance", "ptmxmode=0666"), mount("tmpfs", "/dev/shm", "mode=1777"),
			mount("mqueue", "/dev/mqueue"), mount("tmpfs", "/run", "mode=755"), mount("tmpfs", "/run/lock", "mode=1777"), mount("tmpfs", "/tmp", "mode=1777"),
		},
		"linux": object{
			"namespaces":  namespaces,
			"devices":     devices,
			"cgroupsPath": "/" + m.name,
			"resources":   object{"devices": []object{{"allow": true, "access": "rwm"}}},
		},
	}
}

func (m *machine) runc(args ...string) *exec.Cmd {
	return exec.Command(runcCommand(), append([]string{"--root", filepath.Join(m.dir, "runc")}, args...)...)
}

func runcCommand() string {
	if path, err := exec.LookPath("runc"); err == nil {
		return path
	}
	return "/usr/sbin/runc" // not on the PATH of every user
}

// try runs a shell script in the machine and returns its output.
func (m *machine) try(ctx context.Context, script string) (string, error) {
	c := m.runc("exec", "--cwd", "/root", "--env", "HOME=/root", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--env", "DEBIAN_FRONTEND=noninteractive", m.name, "sh", "-c", script)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	err := c.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = errors.Join(err, cause)
	}
	return out.String(), err
}

// run is try for a script that has to succeed.
func (m *machine) run(script string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Minute)
	defer cancel()
	out, err := m.try(ctx, script)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// start runs a script beside the test. The channel gets its error; out is complete then.
func (m *machine) start(script string) (out *string, ended <-chan error) {
	done := make(chan error, 1)
	out = new(string)
	go func() {
		var err error
		*out, err = m.try(m.t.Context(), script)
		done <- err
	}()
	return out, done
}

// state is everything on the machine that a package can leave: files, units, users, and the engine's resources.
func (m *machine) state() []string {
	m.t.Helper()
	var prune []string
	for path := range strings.FieldsSeq(`/proc /sys /dev /run /tmp /var/tmp /var/cache /var/log /var/lib/docker /var/lib/containerd /var/lib/docker-registry
		/var/lib/apt /var/lib/dpkg /var/lib/systemd/random-seed /root`) {
		prune = append(prune, "-path "+path)
	}
	out := m.run("find / -xdev \\( " + strings.Join(prune, " -o ") + " \\) -prune -o -printf 'file %p %M %u:%g %l\\n';" +
		`systemctl list-unit-files --no-legend | sed 's/^/unit /'; getent passwd | sed 's/^/user /'; getent group | sed 's/^/group /'
		docker image ls --all --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}'; docker volume ls --format 'volume {{.Name}}'
		docker network ls --format 'network {{.Name}}'; docker ps --all --format 'container {{.Names}}'
		sed -n 's/^\(\/dev\/loop[^ ]*\) \([^ ]*\).*/mount \1 \2/p' /proc/mounts; cat /etc/gitlab-runner/* 2>/dev/null | sha256sum`)
	all := strings.Split(out, "\n")
	slices.Sort(all)
	return all
}

// wantState compares the machine with an earlier state.
func (m *machine) wantState(before []string, when string) {
	m.t.Helper()
	now := m.state()
	for _, line := range now {
		if !slices.Contains(before, line) {
			m.t.Errorf("%s: new: %s", when, line)
		}
	}
	for _, line := range before {
		if !slices.Contains(now, line) {
			m.t.Errorf("%s: gone: %s", when, line)
		}
	}
}
