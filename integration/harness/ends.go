package harness

import (
	"slices"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// EndAs plays a job to the end named, and wants that end. Short ends by itself; long writes "ready" and does not end.
func EndAs(t *testing.T, r *runner.Runner, end string, short, long runner.Job) *runner.Result {
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
	play := r.Start(j)
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
	result := play.Wait()
	if result.Outcome != want {
		t.Errorf("%s: want %v\n%s", end, want, result)
	}
	return result
}
