package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/overview"
)

// On a machine on which all is well, no check finds anything, except for what a test cannot prepare:
// the kernel's view of the clock, and the file system of the test's folder.
func TestAllIsWell(t *testing.T) {
	p := well(t)
	seen := map[string]bool{}
	for _, f := range Examine(t.Context(), p.Machine) {
		seen[f.Check] = true
		if f.Severity != OK && f.Check != "clock" && f.Check != "id-mapping" && f.Check != "user" {
			t.Errorf("%+v", f)
		}
		if (f.Severity == OK) != (f.Next == "") {
			t.Errorf("a next step belongs to what is not well: %+v", f)
		}
	}
	for _, name := range []string{"configuration", "engine", "runtime", "sysbox", "kernel", "namespaces", "cgroup", "sysctl", "binfmt_misc", "sub-ids", "clock",
		"storage", "volume disk", "engine disk", "runner", "files", "units", "jobs"} {
		if !seen[name] {
			t.Errorf("the check %s finds nothing at all", name)
		}
	}
}

// Each case changes one thing of a machine on which all is well.
func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*testing.T, *prepared)
		check      string
		severity   Severity
		text, next string // parts of them
	}{
		"no engine": {func(_ *testing.T, p *prepared) {
			p.Config.Engine.Host = "unix://" + p.root + "/none.sock"
			e, err := engine.New(p.Config.Engine.Host, time.Second, engine.TLS{}) // a real client
			if err != nil {
				t.Fatal(err)
			}
			p.Engine = e
		}, "engine", Error, "cannot be reached", "systemctl enable --now docker"},
		"an engine that does not listen": {func(t *testing.T, p *prepared) {
			path := filepath.Join(p.root, "docker.sock")
			listen(t, path).Close()
			p.Config.Engine.Host = "unix://" + path
			e, err := engine.New(p.Config.Engine.Host, time.Second, engine.TLS{})
			if err != nil {
				t.Fatal(err)
			}
			p.Engine = e
		}, "engine", Error, "cannot be reached", "systemctl start docker"},
		"an old engine": {func(_ *testing.T, p *prepared) { p.engine.info.Version = "19.03.15" }, "engine", Error, "too old", "20.10"},
		"a new engine":  {func(_ *testing.T, p *prepared) { p.engine.info.Version = "31.0.0" }, "engine", Note, "newer", "tested with"},
		"no runtime": {func(_ *testing.T, p *prepared) { p.engine.info.Runtimes = []string{"runc"} },
			"runtime", Error, `no runtime "sysbox-runc" (it has runc), but `, "/etc/docker/daemon.json"},
		"no Sysbox": {func(_ *testing.T, p *prepared) {
			p.engine.info.Runtimes = []string{"runc"}
			os.Remove(filepath.Join(p.root, "usr/bin/sysbox-runc"))
		}, "runtime", Error, `no runtime "sysbox-runc"`, "install Sysbox"},
		"a runtime without a program": {func(_ *testing.T, p *prepared) { os.Remove(filepath.Join(p.root, "usr/bin/sysbox-runc")) },
			"runtime", Error, "no such file", "install Sysbox again"},
		"another runtime": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"usr/bin/sysbox-runc": "#!/bin/sh\necho runc version 1.1.5\n"})
		}, "sysbox", Warning, "is not sysbox-runc", "install Sysbox"},
		"an engine elsewhere": {func(_ *testing.T, p *prepared) { p.Config.Engine.Host = "ssh://ci@engine.example.com" },
			"sysbox", Note, "not visible from here", "run doctor there"},
		"a killed sysbox-fs": {func(_ *testing.T, p *prepared) { p.fs() },
			"sysbox", Error, "sysbox-fs has died (/run/sysbox/sysfs.pid names process", "systemctl restart sysbox"},
		"sysbox-mgr was never started": {func(_ *testing.T, p *prepared) { os.Remove(filepath.Join(p.root, "run/sysbox/sysmgr.pid")) },
			"sysbox", Error, "sysbox-mgr does not run (there is no /run/sysbox/sysmgr.pid)", "systemctl restart sysbox"},
		"the number of a killed daemon is another process's": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"run/sysbox/sysfs.pid": "1\n"})
		}, "sysbox", Error, "sysbox-fs ", "systemctl restart sysbox"},
		"a daemon without its socket": {func(_ *testing.T, p *prepared) { os.Remove(filepath.Join(p.root, "run/sysbox/sysfs.sock")) },
			"sysbox", Error, "does not listen", "systemctl restart sysbox"},
		"half an update": {func(_ *testing.T, p *prepared) { p.running = "0.6.7" },
			"sysbox", Warning, "sysbox-fs runs in version 0.6.7, sysbox-runc is 0.7.0", "systemctl restart sysbox"},
		"a known bad Sysbox": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"usr/bin/sysbox-runc": "#!/bin/sh\nprintf 'sysbox-runc\\n\\tversion: \\t0.6.3\\n'\n"})
		}, "sysbox", Warning, "Sysbox 0.6.3 is known bad", "update Sysbox"},
		"a very old kernel": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/sys/kernel/osrelease": "5.10.0-28-amd64"})
		}, "kernel", Error, "no ID-mapped mounts", "5.19"},
		"an old kernel": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/sys/kernel/osrelease": "5.15.0-91-generic"})
		}, "kernel", Warning, "no overlay on ID-mapped mounts", "5.19"},
		"no user namespaces": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/sys/user/max_user_namespaces": "0\n"})
		}, "namespaces", Error, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces"},
		"no user namespaces on Debian": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/sys/kernel/unprivileged_userns_clone": "0\n"})
		}, "namespaces", Error, "kernel.unprivileged_userns_clone is 0", "99-sysbox-sysctl.conf"},
		"no memory controller": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/cgroups": "cpu 2 1 1\nmemory 0 1 0\npids 4 1 1\n"})
		}, "cgroup", Warning, "cgroup v1, driver cgroupfs without memory", "cgroup_enable=memory"},
		"a parent of the wrong form": {func(_ *testing.T, p *prepared) { p.Config.Resources.CgroupParent = "ci.slice" },
			"cgroup", Error, "ci.slice", "a path such as /ci"},
		"few watches": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/sys/fs/inotify/max_user_instances": "128\n"})
		}, "sysctl", Note, "fs.inotify.max_user_instances=128", "fs.inotify.max_user_instances=1048576"},
		"no binfmt_misc": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"proc/filesystems": "nodev\toverlay\n"})
		},
			"binfmt_misc", Note, "no binfmt_misc", "modprobe binfmt_misc"},
		"a range without Sysbox": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"etc/subgid": "alice:100000:65536\n"})
		},
			"sub-ids", Error, "/etc/subgid has no range", "systemctl restart sysbox"},
		"ranges that overlap": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"etc/subuid": "sysbox:100000:65536\nalice:165535:65536\n"})
		}, "sub-ids", Warning, `"alice" overlaps`, "give alice another range"},
		"a clock that was set back": {func(t *testing.T, p *prepared) {
			later := time.Now().Add(24 * time.Hour)
			if err := errors.Join(os.MkdirAll(string(p.state().GC()), 0o700), os.Chtimes(p.state().GC(), later, later)); err != nil {
				t.Fatal(err)
			}
		}, "clock", Warning, "it was set back", "systemd-timesyncd"},
		"too little memory for tmpfs": {func(_ *testing.T, p *prepared) { p.Config.Storage.MinFree = 1 << 50 },
			"volume disk", Error, "no job starts", "storage.min_free"},
		"plain volumes": {func(_ *testing.T, p *prepared) { p.Config.Storage.Backend = "volume" },
			"storage", Warning, "a job can fill the disk", "docs/storage.md"},
		"orphans": {func(_ *testing.T, p *prepared) {
			p.engine.jobs = []overview.JobState{{Name: "gsx-1-p1-j7", Phase: overview.Orphaned}}
		}, "jobs", Warning, "gsx-1-p1-j7", "gc"},
		"leftovers": {func(_ *testing.T, p *prepared) {
			p.engine.jobs = []overview.JobState{{Name: "gsx-1-p1-j7", Phase: overview.Cleaning, Left: []string{"volume gsx-1: held by process 5"}}}
		}, "jobs", Warning, "held by process 5", "gc"},
		"quarantine": {func(t *testing.T, p *prepared) {
			files(t, p.root, map[string]string{"state/aside/gsx-1-p1-j7-1/x": ""})
		},
			"quarantine", Warning, "gsx-1-p1-j7-1", "gc"},
		"no timer": {func(_ *testing.T, p *prepared) {
			os.Remove(filepath.Join(p.root, "etc/systemd/system/gitlab-sysbox-executor-gc.timer"))
		}, "units", Note, "is not installed", "systemctl enable --now"},
		"neither timer nor interval": {func(_ *testing.T, p *prepared) {
			os.Remove(filepath.Join(p.root, "etc/systemd/system/gitlab-sysbox-executor-gc.timer"))
			p.Config.GC.Interval = 0
		}, "units", Warning, "is not installed", "systemctl enable --now"},
		"a timer that is off": {func(_ *testing.T, p *prepared) { p.units["ActiveState"] = "inactive" },
			"units", Warning, "gc.timer is inactive", "systemctl enable --now gitlab-sysbox-executor-gc.timer"},
		"a run that failed": {func(_ *testing.T, p *prepared) { p.units["Result"] = "exit-code" },
			"units", Warning, "failed (exit-code)", "journalctl -u gitlab-sysbox-executor-gc.service"},
		"a faulty configuration": {func(_ *testing.T, p *prepared) { p.ConfigErr = errors.New("config.toml:3: unknown key x") },
			"configuration", Error, "config.toml:3: unknown key x", "every stage of a job reads it"},
		"unsafe settings": {func(_ *testing.T, p *prepared) {
			p.Config.Hardening.AllowUnsafe, p.Config.Hardening.CapAdd = true, []string{"SYS_ADMIN"}
		}, "configuration", Warning, "hardening.allow_unsafe permits every job hardening.cap_add", "remove this key"},
		"an engine in the clear": {func(_ *testing.T, p *prepared) {
			p.Config.Engine = config.Engine{Host: "tcp://10.1.2.3:2375", Insecure: true}
		},
			"configuration", Warning, "is root on the engine's machine", "engine.tls_ca"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := well(t)
			c.change(t, p)
			want(t, Examine(t.Context(), p.Machine), c.check, c.severity, c.text, c.next)
		})
	}
}

// want looks for a finding with these parts.
func want(t *testing.T, all []Finding, check string, s Severity, text, next string) {
	t.Helper()
	for _, f := range all {
		if f.Check == check && f.Severity == s && strings.Contains(f.Text, text) && strings.Contains(f.Next, next) {
			return
		}
	}
	t.Errorf("no %s %s with %q and %q in %+v", s, check, text, next, all)
}

// A daemon that a signal has stopped does not serve, although it lives.
func TestStoppedDaemon(t *testing.T) {
	p := well(t)
	pid, fault := p.alive(daemons[1])
	if fault != "" {
		t.Fatal(fault)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); fault == "" && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		_, fault = p.alive(daemons[1]) // the signal takes effect a moment later
	}
	if !strings.Contains(fault, "is stopped by a signal") {
		t.Errorf("%q", fault)
	}
}

func TestRepair(t *testing.T) {
	p := well(t)
	modes := map[string]os.FileMode{p.Self: 0o775, p.ConfigPath: 0o666, p.Config.StateDir: 0o770}
	for path, mode := range modes {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	jobs := p.state().Jobs()
	if err := errors.Join(os.Mkdir(jobs, 0o777), os.Chmod(jobs, 0o777)); err != nil {
		t.Fatal(err)
	}
	p.engine.jobs = []overview.JobState{{Name: "gsx-1-p1-j7", Phase: overview.Orphaned}}
	all := Examine(t.Context(), p.Machine)
	for _, path := range []string{p.Self, p.ConfigPath, p.Config.StateDir, jobs} {
		want(t, all, "files", map[bool]Severity{true: Warning, false: Error}[path == jobs], path+" has mode", "chmod")
	}
	fixes := Repair(t.Context(), all)
	for _, f := range fixes {
		if !f.Done {
			t.Errorf("%+v", f)
		}
	}
	for _, f := range Examine(t.Context(), p.Machine) {
		if (f.Check == "files" || f.Check == "jobs") && f.Severity != OK {
			t.Errorf("after the repair: %+v", f)
		}
	}
	for path, mode := range map[string]os.FileMode{p.Self: 0o755, p.ConfigPath: 0o644, p.Config.StateDir: 0o751, jobs: 0o711} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %04o", path, info.Mode(), err, mode)
		}
	}
}

func TestMissingStateFolder(t *testing.T) {
	p := well(t)
	p.Config.StateDir = filepath.Join(p.root, "new/state")
	all := Examine(t.Context(), p.Machine)
	want(t, all, "files", Note, "does not exist", "--fix")
	Repair(t.Context(), all)
	if info, err := os.Stat(p.Config.StateDir); err != nil || !info.IsDir() {
		t.Error(err)
	}
}
