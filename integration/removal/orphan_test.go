package removal

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A Runner that dies calls no cleanup and takes its job up no more: the stage
// that it left running ends, and takes everything with it. A shell between the
// harness and the product is the Runner that dies here.
func TestRunnerKilledDuringRun(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	shell := filepath.Join(p.Dir, "runner")
	if err := os.WriteFile(shell, fmt.Appendf(nil, "#!/bin/bash\n%s \"$@\"\nexit $?\n", harness.World.Binary), 0o755); err != nil {
		t.Fatal(err)
	}
	p.Runner.Driver.Path = shell
	s := p.Ready(t, harness.Job(t, "bookworm", harness.Stubborn...))
	left := func() []string { return p.Left(t, s.Job.ID) }
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := len(left()); n < 4 {
		t.Fatalf("there is too little to remove: %v", left())
	}
	if err := syscall.Kill(process.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for killed := time.Now(); len(left()) > 0; time.Sleep(200 * time.Millisecond) {
		if time.Since(killed) > time.Minute {
			t.Fatalf("a minute after the Runner's death: %v", left())
		}
	}
}
