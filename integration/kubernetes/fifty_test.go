package kubernetes

import (
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Fifty jobs, or ten, of which half are cancelled, fail, time out, or have their driver killed; some lose their Runner, too.
// After one gc nothing is left.
func TestFiftyJobs(t *testing.T) {
	p := newPlace(t, `run.kill_grace = "2s"`, `run.reconnect = "5s"`, `kubernetes.start_timeout = "5m"`)
	short, long := job("echo ready", "sleep 2"), job("echo ready", "sleep 600")
	ends := []string{"success", "failure", "success", "cancel", "lost", "success", "kill", "success", "abort", "success"}
	total, width := 50/harness.Step(5), 10/harness.Step(2)
	queue := make(chan int)
	var wg sync.WaitGroup
	began := time.Now()
	for range width {
		wg.Go(func() {
			for n := range queue {
				if end := ends[n%len(ends)]; end == "lost" {
					p.lose(t, long)
				} else {
					harness.EndAs(t, &p.Runner, end, short, long)
				}
			}
		})
	}
	for n := range total {
		queue <- n
	}
	close(queue)
	wg.Wait()
	t.Logf("%d jobs, %d at a time, took %s", total, width, time.Since(began).Round(time.Second))
	if left := pods(t); len(left) != total/len(ends) {
		t.Errorf("%d pods are left of the jobs that have lost their Runner", len(left))
	}
	if out := p.command(t, "gc"); strings.Contains(out, " left") && !strings.Contains(out, "0 left") {
		t.Error(out)
	}
	p.wantNothing(t)
}

// lose kills a driver whose Runner then is no more: nobody calls cleanup.
func (p *place) lose(t *testing.T, j runner.Job) {
	s := p.orphan(t, j)
	if call := s.Prepare(t.Context()); call.Err != nil {
		t.Error(call)
		return
	}
	call := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	await(t, "the script", func() bool { return strings.Contains(call.Output().String(), "ready") })
	if err := call.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := call.Wait(time.Minute); err != nil {
		t.Error(err)
	}
}
