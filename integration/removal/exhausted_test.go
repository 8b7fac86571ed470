package removal

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// descriptors is the place's Runner with a driver that may open so many.
func descriptors(p *harness.Place, n int) *harness.Place {
	return p.Under("prlimit", fmt.Sprintf("--nofile=%[1]d:%[1]d", n))
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
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s := p.Configured(t, j)
	growing(t, func(limit int) *runner.Call {
		call := descriptors(p, limit).Session(t, j).Prepare(t.Context())
		harness.WantCleanup(t, s)
		if left := p.Left(t, j.ID); len(left) > 0 {
			t.Fatalf("left after prepare with %d descriptors: %v", limit, left)
		}
		return call
	})
}

// The same in run, after which the job goes on, and in cleanup itself.
func TestFewDescriptorsInRunAndCleanup(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	short := hasty(t, p, "3s") // descriptors may come free: cleanup waits for that
	j := harness.Job(t, "bookworm", "echo ran")
	j.ID = harness.NewProject()
	s := p.Ready(t, j)
	growing(t, func(limit int) *runner.Call {
		return descriptors(short, limit).Session(t, j).Run(t.Context(), runner.StageBuild)
	})
	growing(t, func(limit int) *runner.Call {
		call := descriptors(short, limit).Session(t, j).Cleanup()
		if left := p.Left(t, j.ID); call.Exit == 0 && len(left) > 0 && !strings.Contains(call.Output.String(), "Left on this machine") {
			t.Errorf("left without a word: %v\n%s", left, call)
		}
		return call
	})
	call := s.Cleanup()
	if left := p.Left(t, j.ID); call.Err != nil || len(left) > 0 {
		t.Errorf("left: %v\n%s", left, call)
	}
}

// tasks is the place's Runner with a driver that may have so many tasks, threads
// included: it is put into a control group of its own.
func tasks(t *testing.T, p *harness.Place, most int) *harness.Place {
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
	return p.Under("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group)
}

// A driver that cannot start another thread, or none of the programs that it
// needs, ends there and then; one cleanup leaves nothing.
func TestFewProcesses(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s := p.Configured(t, j)
	refused := 0
	try := func(most int, stage func(*runner.Session) *runner.Call) *runner.Call {
		call := stage(tasks(t, p, most).Session(t, j))
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
		harness.WantCleanup(t, s)
		if left := p.Left(t, j.ID); len(left) > 0 {
			t.Fatalf("left after prepare with %d tasks: %v", most, left)
		}
	}
	for most := 3; most < 8; most++ {
		try(most, (*runner.Session).Cleanup)
	}
	harness.WantCleanup(t, s)
	if left := p.Left(t, j.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if refused < 2 {
		t.Error("the limit was none")
	}
}
