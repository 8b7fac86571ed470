package removal

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/leftovers"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// The engine is killed and started again in each stage. The job goes
// on, or fails as the system's failure with one line; nothing is left.
func TestEngineIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	for name, flags := range harness.SomeOf(1, map[string]string{"with live-restore": "--live-restore", "without live-restore": ""}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := harness.NewOwnEngine(t, flags)
			p := harness.NewPlace(t, harness.Settings{Host: e.Host, Other: "[cleanup]\ntimeout = \"1m\""})
			e.Restart(t) // what a first start makes for good is there
			before := e.Snapshot(t, p)
			for _, stage := range []string{"prepare", "run", "cleanup"} {
				s := p.Session(t, runner.Job{
					Image:     runner.Image{Name: "gsx-test/bookworm:latest", PullPolicies: []string{"if-not-present"}},
					Variables: []runner.Variable{runner.Var("GIT_STRATEGY", "none")},
					Script:    []string{"echo ready; sleep 5; echo done"}, Timeout: 5 * time.Minute,
				})
				interrupt := func(p *runner.Process, after time.Duration) *runner.Call {
					time.Sleep(after)
					e.Restart(t)
					call, err := p.Wait(3 * time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					return call
				}
				var call *runner.Call
				if stage == "prepare" {
					call = interrupt(s.StartPrepare(), 300*time.Millisecond)
				} else if c := s.Prepare(t.Context()); c.Err != nil {
					t.Fatal(c)
				}
				if stage == "run" {
					for _, step := range []string{runner.StagePrepareScript, runner.StageGetSources} {
						if c := s.Run(t.Context(), step); c.Err != nil {
							t.Fatal(c)
						}
					}
					process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
					if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
						t.Fatal(err)
					}
					call = interrupt(process, 0)
				}
				if stage == "cleanup" {
					call = interrupt(s.StartCleanup(), 50*time.Millisecond)
				}
				errors := strings.Count(call.Output.String(), "ERROR:")
				if call.Exit != 0 && (call.Exit != 2 || errors != 1) {
					t.Errorf("%s: want success, or exit 2 with one line\n%s", stage, call)
				}
				t.Logf("%s, engine killed in %s: exit %d after %s\n%s", name, stage, call.Exit, call.Duration.Round(time.Millisecond), call.Output)
				if c := s.Cleanup(); c.Err != nil {
					t.Error(c)
				}
				// The engine makes its own bridge anew at each start; its shims end in
				// their own time.
				var diff string
				for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(200 * time.Millisecond) {
					if diff = leftovers.Diff(before, e.Snapshot(t, p)); diff == "" || time.Now().After(deadline) {
						break
					}
				}
				if diff != "" {
					t.Errorf("%s left behind:\n%s", stage, diff)
				}
			}
		})
	}
}
