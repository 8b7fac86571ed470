package jobs

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
)

// BenchmarkRunEmptyScript measures a stage call beside a plain `docker exec`
// of true in the same container and the same loop, so that both meet the same
// moods of the machine. The ratio is of the medians.
func BenchmarkRunEmptyScript(b *testing.B) {
	p := harness.NewPlace(b, harness.Settings{})
	s := p.Ready(b, harness.Job(b, "bookworm", "true"))
	container, took := p.Container(b, s), samples{}
	for b.Loop() {
		took.stage(b, s, container)
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	ours, plain := ms(took.median("stage")), ms(took.median("docker exec"))
	b.ReportMetric(ours, "run-ms")
	b.ReportMetric(plain, "docker-exec-ms")
	b.ReportMetric(ours/plain, "ratio")
	b.ReportMetric(0, "ns/op") // the sum of both says nothing
}
