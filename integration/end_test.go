package integration

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
)

// stubborn is a script that ignores TERM, with a child that left it. It must
// be ended all the same.
var stubborn = []string{lines("trap '' TERM", "(sleep 3600 &)", "echo ready", "sleep 3600")}

// countSleeps prints how many of stubborn's processes there are. The pattern
// fits no other process, the counting ones included.
var countSleeps = []string{lines(
	"n=0",
	"for file in /proc/[0-9]*/cmdline; do",
	`  if tr '\0' ' ' <"$file" 2>/dev/null | grep -q '^sleep 3600'; then n=$((n+1)); fi`,
	"done",
	`echo "sleeping $n"`,
)}

// running starts a stubborn script and waits until it runs.
func (p *place) running(t *testing.T) (*runner.Session, *runner.Process) {
	t.Helper()
	j := job(t, "bookworm", stubborn...)
	j.AfterScript = countSleeps
	s := p.ready(t, j)
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
		t.Fatal(err)
	}
	// Two processes must be there for their end to mean anything.
	if call := s.Run(t.Context(), runner.StageAfter); call.Err != nil || !call.Output.Has("sleeping 2") {
		t.Fatal(call)
	}
	return s, process
}

// TERM ends what runs in the container within the grace, and the
// container goes on.
func TestTerminatedRun(t *testing.T) {
	t.Parallel()
	const grace = 2 * time.Second
	p := newPlace(t, settings{run: `kill_grace = "2s"`})
	s, process := p.running(t)
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
	p := newPlace(t, settings{run: `kill_grace = "2s"`})
	s, process := p.running(t)
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

// A whole job whose cancel button is pressed: the later stages see no process
// of the script's.
func TestRowCancel(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{run: `kill_grace = "2s"`})
	j := job(t, "bookworm", stubborn...)
	j.AfterScript = append([]string{`echo "status $CI_JOB_STATUS"`}, countSleeps...)
	play := p.runner.Start(j)
	if _, err := play.Log.WaitFor("ready", time.Minute); err != nil {
		play.Abort()
		t.Fatal(err, play.Wait())
	}
	play.Cancel()
	r := play.Wait()
	if r.Outcome != runner.Canceled || !r.Log.Has("status canceled") || !r.Log.Has("sleeping 0") || len(r.Abandoned) > 0 {
		t.Error(r)
	}
}

// What outlives a script that ended by itself does not hold up the stage.
func TestBackgroundProcessDoesNotHoldTheStage(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{run: `kill_grace = "2s"`})
	r := p.succeed(t, job(t, "bookworm", "sleep 3600 & echo started"))
	if d := r.Call(runner.StageBuild).Duration; d > 20*time.Second {
		t.Errorf("the stage took %s\n%s", d, r)
	}
}
