package removal

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Fifty jobs, or half as many, ten at a time, of which some are cancelled, some time
// out and some have their driver killed.
func TestFiftyJobs(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: "kill_grace = \"2s\"", Other: "[storage]\nsize = \"1GiB\""})
	p.Runner.FinishWait = 30 * time.Second
	template := harness.Job(t, "bookworm", "echo ready", "sleep 2")
	long := harness.Job(t, "bookworm", "echo ready", "sleep 600")
	compare := p.Unchanged(t)

	jobs := 50 / harness.Step(2)
	ends := []string{"success", "failure", "success", "cancel", "timeout", "success", "kill", "success", "abort", "success"}
	var mu sync.Mutex
	var cleanups []time.Duration
	began := time.Now()
	queue := make(chan int)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for n := range queue {
				end := ends[n%len(ends)]
				r := endAs(t, p, end, template, long)
				mu.Lock()
				for _, c := range r.Calls {
					if c.Stage == "cleanup" {
						cleanups = append(cleanups, c.Duration)
					}
				}
				mu.Unlock()
			}
		})
	}
	for n := range jobs {
		queue <- n
	}
	close(queue)
	wg.Wait()
	took := time.Since(began)
	compare()
	slices.Sort(cleanups)
	fmt.Printf("%d jobs, ten at a time: %.1f jobs a minute; cleanup median %s, worst %s\n", jobs, float64(jobs)/took.Minutes(),
		cleanups[len(cleanups)/2].Round(time.Millisecond), cleanups[len(cleanups)-1].Round(time.Millisecond))
}

// endAs plays a job to the end named, and wants that end.
func endAs(t *testing.T, p *harness.Place, end string, short, long runner.Job) *runner.Result {
	j, want := short, runner.Success
	switch end {
	case "failure":
		j.Script, want = []string{"exit 3"}, runner.ScriptFailure
	case "timeout":
		j, want = long, runner.TimedOut
		j.Variables = append(slices.Clone(j.Variables), runner.Var("RUNNER_SCRIPT_TIMEOUT", "3s"))
	case "cancel", "abort":
		j, want = long, runner.Canceled
	case "kill":
		j, want = long, runner.SystemFailure
	}
	play := p.Runner.Start(j)
	if end == "cancel" || end == "abort" || end == "kill" {
		if _, err := play.Log.WaitFor("ready", 2*time.Minute); err != nil {
			t.Error(err)
		}
	}
	switch end {
	case "cancel":
		play.Cancel()
	case "abort":
		play.Abort()
	case "kill":
		all := play.Session().Processes()
		if err := all[len(all)-1].Kill(); err != nil {
			t.Error(err)
		}
	}
	r := play.Wait()
	if r.Outcome != want {
		t.Errorf("%s: want %v\n%s", end, want, r)
	}
	return r
}
