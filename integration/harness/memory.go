package harness

import (
	"os"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// mostMemory bounds the resident memory of each driver process, in bytes, whatever
// a job does.
const mostMemory = 100 << 20

// WantLittleMemory wants every driver process of a job to have stayed below it.
func WantLittleMemory(t testing.TB, r *runner.Result) {
	t.Helper()
	if len(r.Calls) == 0 {
		t.Error("the job has no driver process at all")
	}
	wantLittleMemoryOf(t, r.Calls...)
	for _, p := range r.Abandoned {
		t.Errorf("a driver process still runs: %s", p.Output())
	}
}

// wantLittleMemoryOf wants the same of single calls.
func wantLittleMemoryOf(t testing.TB, calls ...*runner.Call) {
	t.Helper()
	if os.Getenv("GSX_RACE") == "1" {
		return // the race detector's own memory is several times the driver's
	}
	for _, c := range calls {
		// A process that ends before its first sample has no figure.
		unseen := c.MaxRSS == 0 && c.Duration > time.Second
		if unseen || c.MaxRSS >= mostMemory {
			t.Errorf("%s took %d MiB of memory, want less than %d\n%.4000s", c.Stage, c.MaxRSS>>20, mostMemory>>20, c)
		}
	}
}
