package jobs

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// BenchmarkRunEmptyScript measures a stage call beside a plain `docker exec`
// of true in the same container and the same loop, so that both meet the same
// moods of the machine. The ratio is of the medians.
func BenchmarkRunEmptyScript(b *testing.B) {
	p := harness.NewPlace(b, harness.Settings{})
	s := p.Ready(b, harness.Job(b, "bookworm", "true"))
	container := p.Container(b, s)
	var ours, plain []time.Duration
	for b.Loop() {
		call := s.RunScript(b.Context(), runner.StageBuild, "#!/usr/bin/env bash\n")
		if call.Err != nil {
			b.Fatal(call)
		}
		ours = append(ours, call.Duration)

		begin := time.Now()
		if out, err := exec.Command("docker", "-H", harness.World.Engine.Host, "exec", container, "true").CombinedOutput(); err != nil {
			b.Fatalf("docker exec: %v\n%s", err, out)
		}
		plain = append(plain, time.Since(begin))
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds() * 1000
	}
	b.ReportMetric(median(ours), "run-ms")
	b.ReportMetric(median(plain), "docker-exec-ms")
	b.ReportMetric(median(ours)/median(plain), "ratio")
	b.ReportMetric(0, "ns/op") // the sum of both says nothing
}
