package hostile

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// mostSlowdown is how much longer a job may take beside hostile jobs than beside as
// many ordinary ones that use as much of the processors.
const mostSlowdown = 1.5

// BenchmarkHostileNeighbours measures an ordinary job alone, beside two ordinary busy
// jobs, and beside two hostile ones, one after the other in each round.
func BenchmarkHostileNeighbours(b *testing.B) {
	limits := harness.Settings{Other: "[resources]\ncpus = 0.25\n[services.resources]\ncpus = 0.25\n[gc]\ninterval = \"0s\""}
	p, others := harness.NewPlace(b, harness.Settings{Other: "[gc]\ninterval = \"0s\""}), hostilePlace(b, limits)
	plain := harness.Job(b, "bookworm", "true")
	busy := harness.Job(b, "bookworm", "while :; do :; done")
	busy.Timeout = 20 * time.Second
	attacks := []runner.Job{hostile(b, "flood", "true"), hostile(b, "bomb", "true")}
	measure := func() time.Duration {
		began := time.Now()
		p.Succeed(b, plain)
		return time.Since(began)
	}
	var alone, besideBusy, besideHostile []time.Duration
	for b.Loop() {
		alone = append(alone, measure())
		besideBusy = append(besideBusy, beside(others, []runner.Job{busy, busy}, measure))
		besideHostile = append(besideHostile, beside(others, attacks, measure))
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds()
	}
	slowdown := median(besideHostile) / median(besideBusy)
	b.ReportMetric(median(alone), "alone-s")
	b.ReportMetric(median(besideBusy), "beside-busy-s")
	b.ReportMetric(median(besideHostile), "beside-hostile-s")
	b.ReportMetric(slowdown, "ratio")
	b.ReportMetric(0, "ns/op") // the sum of all says nothing
	if slowdown > mostSlowdown {
		b.Errorf("a job takes %.2f of the time beside hostile jobs that it takes beside ordinary ones", slowdown)
	}
}

// beside measures while these jobs are played over and over.
func beside(p *harness.Place, jobs []runner.Job, measure func() time.Duration) time.Duration {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() {
			for ctx.Err() == nil {
				play := p.Runner.Start(j)
				cancelled := context.AfterFunc(ctx, play.Abort)
				play.Wait()
				cancelled()
			}
		})
	}
	time.Sleep(3 * time.Second) // they are at it
	took := measure()
	stop()
	wg.Wait()
	return took
}
