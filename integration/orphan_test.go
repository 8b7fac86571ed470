package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/engine"
	"gitlab-sysbox-executor/integration/runner"
)

// A Runner that dies calls no cleanup and takes its job up no more: the stage
// that it left running ends, and takes everything with it. A shell between the
// harness and the product is the Runner that dies here.
func TestRunnerKilledDuringRun(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{run: `kill_grace = "2s"`})
	shell := filepath.Join(p.dir, "runner")
	if err := os.WriteFile(shell, fmt.Appendf(nil, "#!/bin/bash\n%s \"$@\"\nexit $?\n", world.binary), 0o755); err != nil {
		t.Fatal(err)
	}
	p.runner.Driver.Path = shell
	s := p.ready(t, job(t, "bookworm", stubborn...))
	left := func() []string { return p.left(t, s.Job.ID) }
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

// left is what there is of a job on the engine, and every file in the place's state
// folder.
func (p *place) left(t testing.TB, job int64) (all []string) {
	t.Helper()
	label := fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", job)
	for kind, list := range map[string]func(context.Context, ...string) ([]engine.Object, error){
		"containers": world.engine.Containers, "volumes": world.engine.Volumes, "networks": world.engine.Networks,
	} {
		found, err := list(t.Context(), label)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			all = append(all, fmt.Sprintf("%d %s", len(found), kind))
		}
	}
	return append(all, filesBelow(t, p.stateDir)...)
}
