package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
)

// under is the place's Runner with prepare, run and cleanup behind another
// command, which becomes the driver (execve).
func (p *place) under(command ...string) *place {
	u, d := *p, p.runner.Driver
	behind := func(prefix, args []string) []string {
		return append(append(append([]string{}, prefix...), d.Path), args...)
	}
	u.runner.Driver = runner.Driver{
		Path: "env", ConfigArgs: behind(nil, d.ConfigArgs), PrepareArgs: behind(command, d.PrepareArgs),
		RunArgs: behind(command, d.RunArgs), CleanupArgs: behind(command, d.CleanupArgs),
	}
	return &u
}

// descriptors is the place's Runner with a driver that may open so many.
func (p *place) descriptors(n int) *place {
	return p.under("prlimit", fmt.Sprintf("--nofile=%[1]d:%[1]d", n))
}

// leastFiles are as many descriptors as a Go program needs to begin: with fewer
// its runtime ends it.
const leastFiles = 8

// growing calls try with a limit of descriptors that grows until it succeeds, and
// wants each failure before that to be the system's, told in one line.
func growing(t *testing.T, try func(limit int) *runner.Call) {
	t.Helper()
	for limit := leastFiles; ; limit++ {
		call := try(limit)
		t.Logf("%d descriptors: exit %d after %s", limit, call.Exit, call.Duration.Round(time.Millisecond))
		if call.Exit == 0 {
			if limit == leastFiles {
				t.Errorf("%d descriptors are no limit", limit)
			}
			return
		}
		text := call.Output.String()
		if call.Exit != 2 || strings.Count(text, "ERROR:") != 1 || !strings.Contains(text, "too many open files") || limit > 50 {
			t.Fatal(call)
		}
	}
}

// Each stage without enough descriptors fails as the
// system's failure, and one cleanup leaves nothing.
func TestFewDescriptorsInPrepare(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "true")
	j.ID = newProject()
	s := p.configured(t, j)
	growing(t, func(limit int) *runner.Call {
		call := p.descriptors(limit).session(t, j).Prepare(t.Context())
		wantCleanup(t, s)
		if left := p.left(t, j.ID); len(left) > 0 {
			t.Fatalf("left after prepare with %d descriptors: %v", limit, left)
		}
		return call
	})
}

// The same in run, after which the job goes on, and in cleanup itself.
func TestFewDescriptorsInRunAndCleanup(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[cleanup]\ntimeout = \"3s\""}) // descriptors may come free: it waits for that
	j := job(t, "bookworm", "echo ran")
	j.ID = newProject()
	s := p.ready(t, j)
	growing(t, func(limit int) *runner.Call {
		return p.descriptors(limit).session(t, j).Run(t.Context(), runner.StageBuild)
	})
	growing(t, func(limit int) *runner.Call {
		call := p.descriptors(limit).session(t, j).Cleanup()
		if left := p.left(t, j.ID); call.Exit == 0 && len(left) > 0 && !strings.Contains(call.Output.String(), "Left on this machine") {
			t.Errorf("left without a word: %v\n%s", left, call)
		}
		return call
	})
	wantCleanup(t, s)
	if left := p.left(t, j.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// tasks is the place's Runner with a driver that may have so many tasks, threads
// included: it is put into a control group of its own.
func (p *place) tasks(t *testing.T, most int) *place {
	t.Helper()
	root := "/sys/fs/cgroup/pids" // version 1
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+pids"), 0); err != nil {
			t.Fatal(err)
		}
	}
	group, err := os.MkdirTemp(root, "gsx-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, "pids.max"), []byte(strconv.Itoa(most)), 0); err != nil {
		t.Fatal(err)
	}
	return p.under("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group)
}

// A driver that cannot start another thread, or none of the programs that it
// needs, ends there and then; one cleanup leaves nothing.
func TestFewProcesses(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "true")
	j.ID = newProject()
	s := p.configured(t, j)
	refused := 0
	try := func(most int, stage func(*runner.Session) *runner.Call) *runner.Call {
		call := stage(p.tasks(t, most).session(t, j))
		t.Logf("%d tasks: %s: exit %d after %s", most, call.Stage, call.Exit, call.Duration.Round(time.Millisecond))
		if call.Exit == 2 {
			refused++
		} else if call.Exit != 0 {
			t.Error(call)
		}
		return call
	}
	for most := 3; ; most++ {
		call := try(most, func(s *runner.Session) *runner.Call { return s.Prepare(t.Context()) })
		if call.Exit == 0 || most > 30 {
			break
		}
		wantCleanup(t, s)
		if left := p.left(t, j.ID); len(left) > 0 {
			t.Fatalf("left after prepare with %d tasks: %v", most, left)
		}
	}
	for most := 3; most < 8; most++ {
		try(most, (*runner.Session).Cleanup)
	}
	wantCleanup(t, s)
	if left := p.left(t, j.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if refused < 2 {
		t.Error("the limit was none")
	}
}
