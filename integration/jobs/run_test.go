package jobs

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// The script's own code, by the exit codes this Runner chose.
func TestScriptsExitCode(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	p.Runner.BuildFailureExit, p.Runner.SystemFailureExit = 71, 72
	j := harness.Job(t, "bookworm", "exit 42")
	j.AfterScript = []string{"true"}
	r := p.Runner.Play(j)
	if r.Outcome != runner.ScriptFailure || r.ExitCode != 42 || r.Call(runner.StageBuild).Exit != 71 {
		t.Errorf("%s", r)
	}
}

// An engine that does not answer.
func TestUnreachableEngine(t *testing.T) {
	t.Parallel()
	socket := "unix:///nonexistent/gsx/docker.sock"
	p := harness.NewPlace(t, harness.Settings{Host: socket})
	p.Runner.SystemFailureExit = 72
	r := p.Runner.Play(harness.Job(t, "bookworm", "true"))
	stages := strings.Join(r.Stages(), " ")
	if want := "config prepare cleanup config prepare cleanup config prepare cleanup"; r.Outcome != runner.SystemFailure || stages != want {
		t.Fatalf("stages %s\n%s", stages, r)
	}
	prepare := r.Call("prepare")
	told := 0
	for _, line := range prepare.Output.Lines() {
		if strings.Contains(line.Text, socket) {
			told++
		}
	}
	if prepare.Exit != 72 || told != 1 {
		t.Errorf("exit %d, %d lines name the socket\n%s", prepare.Exit, told, r)
	}
}

// A line appears within 100 ms of being written. The bound holds for nine of
// ten lines, since the machine that runs the tests may pause.
func TestOutputIsStreamed(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "bookworm", "for i in $(seq 60); do echo at $(date +%s%N); sleep 0.02; done"))
	var delays []time.Duration
	for _, line := range r.Call(runner.StageBuild).Output.Lines() {
		if stamp, ok := strings.CutPrefix(line.Text, "at "); ok {
			written, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			delays = append(delays, line.At.Sub(time.Unix(0, written)))
		}
	}
	if len(delays) != 60 {
		t.Fatalf("%d lines of 60\n%s", len(delays), r)
	}
	slices.Sort(delays)
	t.Logf("median %s, nine of ten within %s, worst %s", delays[30], delays[53], delays[59])
	if delays[53] > 100*time.Millisecond {
		t.Errorf("nine of ten lines took up to %s", delays[53])
	}
}
