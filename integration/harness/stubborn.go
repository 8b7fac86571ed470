package harness

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// Stubborn is a script that ignores TERM, with a child that left it. It must
// be ended all the same.
var Stubborn = []string{Lines("trap '' TERM", "(sleep 3600 &)", "echo ready", "sleep 3600")}

// CountSleeps prints how many of Stubborn's processes there are. The pattern
// fits no other process, the counting ones included.
var CountSleeps = []string{Lines(
	"n=0",
	"for file in /proc/[0-9]*/cmdline; do",
	`  if tr '\0' ' ' <"$file" 2>/dev/null | grep -q '^sleep 3600'; then n=$((n+1)); fi`,
	"done",
	`echo "sleeping $n"`,
)}

// RunStubborn starts a stubborn script and waits until it runs.
func (p *Place) RunStubborn(t *testing.T) (*runner.Session, *runner.Process) {
	t.Helper()
	j := Job(t, "bookworm", Stubborn...)
	j.AfterScript = CountSleeps
	s := p.Ready(t, j)
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
