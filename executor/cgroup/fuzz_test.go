package cgroup

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/integration/heap"
)

// A container chooses the names of the groups below its own, and systemd in it those
// of its services. Whatever they are, its group is one below the mount; and what is read
// in a group's file is a count.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{
		"8:pids:/docker/" + id + "\n4:memory:/docker/" + id + "/init.scope\n0::/\n", "0::/system.slice/docker-" + id + ".scope\n",
		"0::/../" + id, "0::/docker/" + id + "/../../x\n", "4:memory,cpu:/" + id + ":x\n", ":::\n",
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "low 0\nhigh 0\nmax 217\noom 2\noom_kill -2\n", "max 99999999999999999999\noom_kill\toom_kill 1",
	} {
		f.Add(text)
	}
	table := []*mountinfo.Info{
		{FSType: "cgroup", VFSOptions: "rw,memory", Root: "/", Mountpoint: "/sys/fs/cgroup/memory"},
		{FSType: "cgroup2", VFSOptions: "rw", Root: "/part", Mountpoint: "/sys/fs/cgroup/unified"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		defer heap.Bounded(t)()
		for _, controller := range []string{"memory", "pids"} {
			got := folder(text, table, controller, id)
			if got == "" {
				continue
			}
			below := strings.HasPrefix(got, "/sys/fs/cgroup/memory/") || strings.HasPrefix(got, "/sys/fs/cgroup/unified/")
			if !below || !strings.Contains(got, id) || strings.Contains(got+"/", "/../") {
				t.Errorf("%q is the group of %q", got, text)
			}
		}
		for _, key := range []string{"oom_kill", "max"} {
			if n := counter(text, key); n < 0 || n > mostCount {
				t.Errorf("%d in %q", n, text)
			}
		}
	})
}
