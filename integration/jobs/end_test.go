package jobs

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// TERM ends what runs in the container within the grace, and the
// container goes on.
func TestTerminatedRun(t *testing.T) {
	t.Parallel()
	const grace = 2 * time.Second
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	s, process := p.RunStubborn(t)
	sent := time.Now()
	if err := process.Terminate(); err != nil {
		t.Fatal(err)
	}
	call, err := process.Wait(grace + 10*time.Second) // what comes on top is the engine's own time
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("run ended %s after SIGTERM, exit %d", time.Since(sent).Round(time.Millisecond), call.Exit)
	s.SetStatus("canceled")
	if call := s.Run(t.Context(), runner.StageAfter); call.Err != nil || !call.Output.Has("sleeping 0") {
		t.Errorf("after_script saw the script's processes\n%s", call)
	}
}

// A driver that is killed leaves no process behind either.
func TestKilledRun(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	s, process := p.RunStubborn(t)
	killed := time.Now()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	for {
		call := s.Run(t.Context(), runner.StageAfter)
		if call.Err != nil {
			t.Fatal(call)
		}
		if call.Output.Has("sleeping 0") {
			t.Logf("no process %s after SIGKILL", time.Since(killed).Round(time.Millisecond))
			return
		}
		if time.Since(killed) > 20*time.Second {
			t.Fatalf("20 s after SIGKILL:\n%s", call)
		}
	}
}

// A container that is stopped from outside is no failure of the job's.
func TestContainerIsStopped(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a program": "echo ready; exec sleep 1000",
		"a shell":   "trap 'exit 3' TERM; echo ready; sleep 1000 & wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			p.Runner.SystemFailureExit = 72
			s := p.Ready(t, harness.Job(t, "bookworm", script))
			process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
			if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
				t.Fatal(err)
			}
			docker(t, "stop", p.Container(t, s))
			call, err := process.Wait(time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if call.Exit != 72 || !strings.Contains(call.Output.String(), "container was stopped while the script ran") {
				t.Error(call)
			}
		})
	}
}
