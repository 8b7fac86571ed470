package executor

import (
	"strings"
	"testing"
)

// The outcome is found among what Go's runtime may say for the job's GODEBUG, in
// whatever pieces it comes, and is told once, when it is whole.
func TestOutcomeReader(t *testing.T) {
	const trace = "SCHED 0ms: gomaxprocs=2 idleprocs=1\ninit internal/bytealg @0.005 ms\n"
	for name, text := range map[string]string{
		"alone":  `{"code":7}` + "\n",
		"before": trace + `{"code":7}` + "\n",
		"around": trace + `{"code":7}` + "\n" + trace,
		"long":   strings.Repeat(trace, 2000) + `{"code":7}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, 32 << 10} {
				if name == "long" && size < 1000 {
					continue
				}
				told := 0
				r := outcomeReader{told: func() { told++ }}
				for rest := text; rest != ""; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					if n, err := r.Write([]byte(piece)); n != len(piece) || err != nil {
						t.Fatal(n, err)
					}
				}
				if told != 1 || r.outcome == nil || r.outcome.Code != 7 {
					t.Errorf("in pieces of %d: told %d times, %+v", size, told, r.outcome)
				}
			}
		})
	}
	r := outcomeReader{told: func() { t.Error("told of nothing") }}
	_, _ = r.Write([]byte(trace + `{"code":`)) // a bytes.Buffer's: no error
	if r.outcome != nil || !strings.Contains(string(r.rest), "SCHED") {
		t.Errorf("%+v %q", r.outcome, r.rest)
	}
}
