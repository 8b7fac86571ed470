package jobs

import (
	"os"
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

func TestExitCodesOfSingleStages(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	codeFile := func() string {
		text, err := os.ReadFile(s.CodeFile())
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		script string
		code   int
	}{
		{"exit 42", 42},
		{"exit 0", 0}, // the code of the stage before must be gone
		{"exit 1", 1},
		{"exit 255", 255},
		{"kill -KILL $$", 137},
		{"set -e; false; true", 1},
		{"/nonexistent", 127},
	} {
		call := s.RunScript(t.Context(), runner.StageBuild, "#!/usr/bin/env bash\n"+c.script+"\n")
		wantExit, wantFile := 0, ""
		if c.code != 0 {
			wantExit, wantFile = 1, strconv.Itoa(c.code)
		}
		first, _, _ := strings.Cut(codeFile(), "\n")
		if call.Exit != wantExit || first != wantFile {
			t.Errorf("%s: exit %d and code %q, want %d and %q\n%s", c.script, call.Exit, first, wantExit, wantFile, call)
		}
	}
}

// The code of a failed stage is no other stage's.
func TestNoStaleCode(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	if err := os.WriteFile(s.CodeFile(), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil {
		t.Fatal(call)
	}
	if text, err := os.ReadFile(s.CodeFile()); !os.IsNotExist(err) {
		t.Errorf("a stale code is still there: %q %v", text, err)
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

// Both streams arrive, whole, and a last line without its end, too.
func TestOutputIsComplete(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "bookworm",
		"seq 200000", "echo to stderr >&2", "printf 'no end'"))
	output := r.Call(runner.StageBuild).Output
	if !output.Has("to stderr") || !output.Has("no end") {
		t.Errorf("a line is missing of %d", len(output.Lines()))
	}
	next := 1
	for _, line := range output.Lines() {
		if line.Text == strconv.Itoa(next) {
			next++
		}
	}
	if next != 200001 {
		t.Errorf("lines are missing or out of order from %d on", next)
	}
}

// The script's standard input is empty, not the driver's.
func TestStandardInputIsEmpty(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	harness.WantLines(t, p.Succeed(t, harness.Job(t, "bookworm", `echo "read [$(cat)]"`)), "read []")
}

// A script's processes end at a broken pipe, as they do everywhere else.
func TestBrokenPipeEndsAProcess(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	harness.WantLines(t, p.Succeed(t, harness.Job(t, "bookworm", `set +e +o pipefail; yes | head -n 1 >/dev/null; echo "pipe ${PIPESTATUS[0]}"`)), "pipe 141")
}

// Whoever the job runs as can open its standard output and error by their names.
func TestStandardOutputCanBeOpened(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "user1000", "echo out >/dev/stdout", "echo err >/dev/stderr", "echo both | tee /dev/stderr >/dev/null"))
	harness.WantLines(t, r, "out", "err", "both")
}

// What the job's GODEBUG makes the agent say is not taken for a script's end.
func TestScriptWithGODEBUG(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "bookworm", "sleep 7; echo done"), runner.Var("GODEBUG", "inittrace=1"))
	harness.WantLines(t, p.Succeed(t, j), "done")
}
