package job

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/cgroup"
)

func TestLimitsThatWereReached(t *testing.T) {
	both := Limits{Memory: 300 << 20, Pids: 70, Volume: 1 << 30}
	full := func(paths ...string) *agent.Usage { return &agent.Usage{Full: paths} }
	for name, c := range map[string]struct {
		limits Limits
		events cgroup.Events
		usage  *agent.Usage
		want   []string // none when empty
	}{
		"none":                   {both, cgroup.Events{}, full(), nil},
		"nothing known":          {both, cgroup.Events{}, nil, nil},
		"memory":                 {both, cgroup.Events{OOMKills: 1}, nil, []string{"memory limit of 300MiB", "resources.memory", "EXECUTOR_MEMORY"}},
		"memory of the host":     {Limits{Pids: 70}, cgroup.Events{OOMKills: 1}, nil, []string{"no memory limit of its own"}},
		"processes":              {both, cgroup.Events{Refused: 9}, nil, []string{"limit of 70 processes", "resources.pids_limit", "EXECUTOR_PIDS_LIMIT"}},
		"processes of a parent":  {Limits{Pids: -1}, cgroup.Events{Refused: 9}, nil, []string{"resources.cgroup_parent"}},
		"the volume":             {both, cgroup.Events{}, full("/var/lib/containers"), []string{"its 1GiB (storage.size)"}},
		"the disk of the TMPDIR": {both, cgroup.Events{}, full("/tmp"), []string{"TMPDIR /tmp was full"}},
		"all": {both, cgroup.Events{OOMKills: 1, Refused: 1}, full("/var/lib/containers", "/tmp"),
			[]string{"300MiB", "70 processes", "1GiB", "TMPDIR /tmp"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.limits.Reached(c.events, c.usage)
			if (got == "") != (len(c.want) == 0) || strings.Contains(got, "\n") {
				t.Errorf("got %q", got)
			}
			for _, text := range c.want {
				if !strings.Contains(got, text) {
					t.Errorf("%q is not in %q", text, got)
				}
			}
		})
	}
}
