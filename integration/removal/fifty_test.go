package removal

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
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
				r := harness.EndAs(t, &p.Runner, end, template, long)
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
