package executor

import (
	"testing"

	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
)

// A job whose Runner is gone is counted by the gc that removes it, once; a dry run counts nothing.
func TestGCCountsJobs(t *testing.T) {
	t.Parallel()
	x, _ := inMemory(t)
	var ended []accounting.Job
	x.Accounts.Ended = func(j accounting.Job) { ended = append(ended, j) }
	call := x.Accounts.Begin(identity, accounting.StagePrepare, false)
	ctx, seen := observe.With(t.Context(), nil)
	if err := x.Prepare(ctx, job.Plan{Identity: identity}); err != nil {
		t.Fatal(err)
	}
	call.End(accounting.Outcome{Result: accounting.Success}, seen.Seen())
	j, _, err := journal.Open(x.Dir.Journals(), identity.Name())
	if err != nil {
		t.Fatal(err)
	}
	gone := owner.Current()
	gone.Started-- // a process that had the number before
	if err := j.Begin(identity, gone, x.Backend.Host()); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false, false} {
		if _, err := x.GC(t.Context(), removal.Options{DryRun: dry}); err != nil {
			t.Fatal(err)
		}
		if dry && len(ended) > 0 {
			t.Error("a dry run counts")
		}
	}
	want := accounting.Outcome{Result: accounting.SystemFailure, Class: accounting.RunnerGone}
	if len(ended) != 1 || ended[0].Outcome != want || ended[0].Identity != identity || ended[0].By != accounting.ByGC {
		t.Fatalf("%+v", ended)
	}
	if steps := ended[0].Seen().Steps; len(steps) != 1 || steps[0].Step != observe.Clear {
		t.Errorf("%+v", steps)
	}
	totals, err := x.Accounts.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range map[string]float64{
		accounting.Key("jobs_total", "system_failure", "runner_gone"): 1, accounting.Key("gc_runs_total", "success"): 2, accounting.Key("gc_collected_total", "removed"): 1,
	} {
		if totals.Counters[key] != n {
			t.Errorf("%s: %v", key, totals.Counters[key])
		}
	}
}
