package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/removal"
)

// fakeEngine answers about itself, and lists no jobs.
type fakeEngine struct {
	info engine.Info
	err  error
	jobs []overview.JobState
}

func (e *fakeEngine) Info(context.Context) (engine.Info, error)         { return e.info, e.err }
func (e *fakeEngine) Jobs(context.Context) ([]overview.JobState, error) { return e.jobs, e.err }
func (e *fakeEngine) GC(context.Context, removal.Options) ([]removal.Collected, error) {
	e.jobs = nil
	return []removal.Collected{{Name: "gsx-1", Action: removal.Removed}}, nil
}

// files writes files below root.
func files(t *testing.T, root string, all map[string]string) {
	t.Helper()
	for path, text := range all {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(text, "#!") {
			program(t, path, strings.NewReader(text))
		} else if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// program writes a program. Another process does it: a process that another test starts at the same time would
// have this one's open file, and the program could not be started (golang/go#22315).
func program(t *testing.T, path string, text io.Reader) {
	t.Helper()
	c := exec.Command("sh", "-c", `cat >"$1" && chmod 755 "$1"`, "sh", path)
	c.Stdin = text
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// process starts a real process whose program has this name, until the test's end or kill.
func process(t *testing.T, dir, name string) (pid int, kill func()) {
	t.Helper()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cat)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	program(t, path, bytes.NewReader(text))
	c := exec.Command(path)
	in, err := c.StdinPipe() // cat waits for it
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		in.Close()
	}
	t.Cleanup(kill)
	return c.Process.Pid, kill
}

// listen makes a real socket.
func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as that of a killed process
	t.Cleanup(func() { l.Close() })
	return l
}

// section is a right section of the Runner's configuration.
const section = `concurrent = 4
[[runners]]
  name = "sysbox"
  url = "https://gitlab.example.com"
  token = "glrt-secret"
  executor = "custom"
  [runners.custom]
    config_exec = "SELF"
    config_args = ["--config", "CONFIG", "config"]
    prepare_exec = "SELF"
    prepare_args = ["--config=CONFIG", "prepare"]
    run_exec = "SELF"
    run_args = ["run", "--config", "CONFIG"]
    cleanup_exec = "SELF"
    cleanup_args = ["cleanup", "--config", "CONFIG"]
    graceful_kill_timeout = 60
`

// prepared is a machine, and what a test changes of it.
type prepared struct {
	*Machine
	engine *fakeEngine
	root   string
	fs     func() // kills sysbox-fs
	units  map[string]string
	// running is the version of the daemons' programs; empty if they do not say it.
	running string
}

// runner writes the Runner's configuration with this program's path and configuration.
func (p *prepared) runner(t *testing.T, text string) {
	t.Helper()
	text = strings.NewReplacer("SELF", p.Self, "CONFIG", p.ConfigPath).Replace(text)
	if err := os.MkdirAll(filepath.Dir(p.RunnerConfig), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.RunnerConfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// well is a machine on which all is well: real files, processes and sockets below a folder. Only the
// engine's answers and systemd's are fake.
func well(t *testing.T) *prepared {
	t.Helper()
	root, err := os.MkdirTemp("", "gsx-d") // short: it has sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(root, path) }
	sysboxRunc := at("usr/bin/sysbox-runc")
	files(t, root, map[string]string{
		"proc/sys/kernel/osrelease":                            "6.12.57+deb13-amd64\n",
		"proc/sys/user/max_user_namespaces":                    "65536\n",
		"proc/sys/kernel/unprivileged_userns_clone":            "1\n",
		"proc/filesystems":                                     "nodev\toverlay\n\text4\n\txfs\nnodev\tbinfmt_misc\n",
		"proc/cgroups":                                         "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t1\t1\nmemory\t3\t1\t1\npids\t4\t1\t1\n",
		"proc/sys/fs/inotify/max_user_instances":               "1048576",
		"proc/sys/kernel/pid_max":                              "4194304",
		"sys/fs/cgroup/cgroup.procs":                           "",
		"etc/subuid":                                           "sysbox:100000:65536\nalice:165536:65536\n",
		"etc/subgid":                                           "sysbox:100000:65536\n",
		"usr/bin/sysbox-runc":                                  "#!/bin/sh\nprintf 'sysbox-runc\\n\\tedition: \\tCE\\n\\tversion: \\t0.7.0\\n'\n",
		"usr/local/bin/gitlab-sysbox-executor":                 "#!/bin/sh\necho 1.0.0\n",
		"etc/gitlab-sysbox-executor/config.toml":               "",
		"run/systemd/system/README":                            "",
		"etc/systemd/system/gitlab-sysbox-executor-gc.timer":   "[Timer]\n",
		"etc/systemd/system/gitlab-sysbox-executor-gc.service": "[Service]\nExecStart=" + at("usr/local/bin/gitlab-sysbox-executor") + " gc\n",
		"engine/volumes/metadata.db":                           "",
		"state/README":                                         "",
		"run/sysbox/README":                                    "",
	})
	cfg := config.Default()
	cfg.StateDir, cfg.Storage.Backend, cfg.Storage.Size, cfg.Storage.MinFree = at("state"), "tmpfs", 512<<20, 1<<20
	e := &fakeEngine{info: engine.Info{
		Version: "28.5.2", API: "1.51", Runtimes: []string{"runc", "sysbox-runc"}, RuntimePaths: map[string]string{"runc": "runc", "sysbox-runc": sysboxRunc},
		RootDir: at("engine"), StorageDriver: "overlay2", CgroupVersion: "1", CgroupDriver: "cgroupfs",
	}}
	p := &prepared{engine: e, root: root, units: map[string]string{"ActiveState": "active", "Result": "success"}}
	p.Machine = &Machine{
		Root: root, Config: cfg, ConfigPath: at("etc/gitlab-sysbox-executor/config.toml"), Engine: e, Jobs: e, Collect: e.GC,
		Self: at("usr/local/bin/gitlab-sysbox-executor"), Version: "1.0.0", Volumes: at("state/volumes"), RunnerConfig: at("etc/gitlab-runner/config.toml"), UID: os.Geteuid(),
		Command: func(ctx context.Context, name string, args ...string) ([]byte, error) {
			if name == "systemctl" {
				return []byte(p.units[strings.TrimPrefix(args[1], "--property=")] + "\n"), nil
			}
			if p.running != "" && strings.HasSuffix(name, "/exe") { // the program of a daemon
				program, err := os.Readlink(name)
				return []byte(filepath.Base(program) + "\n\tversion: \t" + p.running + "\n"), err
			}
			return exec.CommandContext(ctx, name, args...).Output()
		},
	}
	p.runner(t, section)
	for _, d := range daemons {
		pid, kill := process(t, root, d.name)
		files(t, root, map[string]string{d.pidFile: fmt.Sprintf("%d\n", pid)})
		l := listen(t, at(d.socket))
		if d.name == "sysbox-fs" {
			p.fs = func() { kill(); l.Close() }
		}
	}
	process(t, root, runnerProgram)
	return p
}
