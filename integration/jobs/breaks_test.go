package jobs

import (
	"fmt"
	"strings"
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

// counted is a script that writes numbered lines for some seconds, and what it writes.
func counted(lines int) (script, want string) {
	var all strings.Builder
	for n := range lines {
		fmt.Fprintf(&all, "line %d of the script\n", n)
	}
	return fmt.Sprintf(`n=0; while [ $n -lt %d ]; do echo "line $n of the script"; n=$((n + 1)); case $n in *00) sleep 0.1;; esac; done`, lines), all.String()
}

// linesOf are the lines of the script in a log.
func linesOf(log string) string {
	var all strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasSuffix(line, " of the script\n") {
			all.WriteString(line)
		}
	}
	return all.String()
}

// A connection to a remote engine that breaks in the middle of a stage, twice, is not a failed job, and no line of the
// output is lost or doubled.
func TestConnectionBreaks(t *testing.T) {
	t.Parallel()
	p, b := remotely(t, harness.Settings{})
	script, want := counted(5000)
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
	if text := r.Log.String(); strings.Count(text, "The connection to build_script was lost") != 2 || strings.Count(text, "The connection to build_script is back") != 2 {
		t.Error(r)
	}
	if got := linesOf(r.Call(runner.StageBuild).Output.Of(runner.Stdout)); got != want {
		t.Errorf("%d lines, want %d", strings.Count(got, "\n"), strings.Count(want, "\n"))
	}
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
