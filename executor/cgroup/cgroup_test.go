package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

const id = "89812d88036843a233a0a6a8c9a92ace28bdddeb757ce8c11487b3f27b881936"

func mounts(t *testing.T, table string) []*mountinfo.Info {
	t.Helper()
	all, err := mountinfo.GetMountsFromReader(strings.NewReader(table), nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFolder(t *testing.T) {
	const one = `34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	const two = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	for name, c := range map[string]struct{ proc, mounts, want string }{
		"version 1, cgroupfs": {"8:pids:/docker/" + id + "\n4:memory:/docker/" + id + "\n0::/\n", one, "/sys/fs/cgroup/memory/docker/" + id},
		"version 1, systemd":  {"4:memory:/system.slice/docker-" + id + ".scope\n0::/x\n", one, "/sys/fs/cgroup/memory/system.slice/docker-" + id + ".scope"},
		"several controllers": {"4:memory,cpu:/docker/" + id + "\n", one, "/sys/fs/cgroup/memory/docker/" + id},
		"version 2":           {"0::/system.slice/docker-" + id + ".scope\n", two, "/sys/fs/cgroup/system.slice/docker-" + id + ".scope"},
		"under Sysbox":        {"0::/docker/" + id + "/syscont-cgroup-root/init.scope\n", two, "/sys/fs/cgroup/docker/" + id},
		"a part of the tree": {"0::/ci/docker/" + id + "\n", "30 23 0:26 /ci /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			"/sys/fs/cgroup/docker/" + id},
		"another part of the tree":      {"0::/ci/docker/" + id + "\n", "30 23 0:26 /other /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", ""},
		"a group out of sight":          {"0::/../../docker/" + id + "\n", two, ""},
		"another container's":           {"0::/docker/" + strings.Repeat("0", 64) + "\n", two, ""},
		"the controller is not mounted": {"4:memory:/docker/" + id + "\n", two, ""},
		"nothing":                       {"", two, ""},
		"nonsense":                      {"::::\n\n4:memory\n0:" + id, two, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := folder(c.proc, mounts(t, c.mounts), "memory", id); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := folder("0::/docker/"+id+"\n", mounts(t, two), "memory", ""); got != "" {
		t.Errorf("got %q without an ID", got)
	}
}

// The files are those of Linux 6.18 (version 1) and 6.12 (version 2).
func TestEvents(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Events
	}{
		"version 1": {map[string]string{
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "pids.events": "max 5\n",
		}, Events{3, 5}},
		"version 1, in groups below": {map[string]string{
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "syscont-cgroup-root/memory.oom_control": "oom_kill 2\n",
			"syscont-cgroup-root/a/b/memory.oom_control": "oom_kill 4\n", "pids.events": "max 0\n", "syscont-cgroup-root/pids.events": "max 1\n",
		}, Events{7, 1}},
		"version 2": {map[string]string{
			"memory.events": "low 0\nhigh 0\nmax 217\noom 2\noom_kill 2\noom_group_kill 0\n", "pids.events": "max 9\n",
			"memory.events.local": "oom_kill 50\n",
		}, Events{2, 9}},
		"before Linux 4.13": {map[string]string{"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}, Events{}},
		"nonsense": {map[string]string{
			"memory.oom_control": "oom_kill -5\noom_kill x\noom_kill 99999999999999999999\n", "pids.events": "max max\n\x00" + strings.Repeat("x", 1<<20) + "\nmax 5\n",
		}, Events{}},
		"nothing": {nil, Events{}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := (Group{Memory: dir, Pids: dir}).Events(); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := (Group{}).Events(); got != (Events{}) {
		t.Errorf("got %+v of no group", got)
	}
	if got := (Events{5, 1}).Since(Events{3, 4}); got != (Events{2, 0}) {
		t.Errorf("got %+v", got)
	}
}

// A job makes as many groups as it likes.
func TestManyGroups(t *testing.T) {
	dir := t.TempDir()
	for _, deep := range []string{strings.Repeat("d/", 100), "flat"} {
		if err := os.MkdirAll(filepath.Join(dir, deep), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pids.events"), []byte("max 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := (Group{Pids: dir}).Events(); got != (Events{Refused: 5}) {
		t.Errorf("got %+v", got)
	}
}

func TestOfThisProcess(t *testing.T) {
	if _, err := Of(os.Getpid(), id); err == nil {
		t.Error("this process is in a container's group")
	}
	if _, err := Of(1<<30, id); err == nil {
		t.Error("no such process has a group")
	}
}
