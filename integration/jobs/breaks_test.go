package jobs

import (
	"fmt"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// remotely is a place whose engine is behind a proxy, and whose drivers cannot reach the agents themselves: they are in a
// PID namespace of their own.
func remotely(t *testing.T, s harness.Settings) (*harness.Place, *harness.Breaks) {
	t.Helper()
	b := harness.BeforeEngine(t)
	s.Engine = fmt.Sprintf("host = \"tcp://%s\"", b.Address)
	p := harness.NewPlace(t, s)
	return p.Under("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh"), b
}

// A connection to a remote engine that breaks in the middle of a stage, twice, is not a failed job, and no line of the
// output is lost or doubled.
func TestConnectionBreaks(t *testing.T) {
	t.Parallel()
	p, b := remotely(t, harness.Settings{})
	script, want := harness.Counted(5000)
	j := harness.Job(t, "bookworm", script, "exit 3")
	j.AfterScript = []string{"echo after"}
	play := p.Runner.Start(j)
	if _, err := play.Log.WaitFor("line 1000 of the script", time.Minute); err != nil {
		play.Abort()
		t.Fatal(err, play.Wait())
	}
	b.Cut()
	if _, err := play.Log.WaitFor("line 3000 of the script", time.Minute); err != nil {
		play.Abort()
		t.Fatal(err, play.Wait())
	}
	b.Refuse(true)
	b.Cut()
	time.Sleep(2 * time.Second)
	b.Refuse(false)
	r := play.Wait()
	if r.Outcome != runner.ScriptFailure || r.ExitCode != 3 || !r.Log.Has("after") {
		t.Fatal(r)
	}
	harness.WantCounted(t, r, want, 2)
}

// If the driver of a stage is killed, the stage's processes end within run.reconnect, and at once when the next stage begins.
func TestKilledRunOfARemoteEngine(t *testing.T) {
	t.Parallel()
	for name, reconnect := range map[string]string{"in time": "1s", "at the next stage": "4m"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := remotely(t, harness.Settings{Run: fmt.Sprintf("kill_grace = \"2s\"\nreconnect = %q", reconnect)})
			s, process := p.RunStubborn(t)
			if err := process.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := process.Wait(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			if name == "in time" {
				time.Sleep(6 * time.Second) // the grace of a driver that is gone, and the time to kill
			}
			s.SetStatus("canceled")
			if call := s.Run(t.Context(), runner.StageAfter); call.Err != nil || !call.Output.Has("sleeping 0") {
				t.Error(call)
			}
		})
	}
}
