package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Run runs a subcommand of the product with the place's configuration, and returns what it prints.
func (p *Place) Run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := Command(2*time.Minute, World.Binary, append(args, p.Runner.Driver.ConfigArgs[1:]...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// Shell is a shell that runs commands of the documentation in the place's folder. The program's name stands for the
// product with the place's configuration, and docker asks the private engine.
func (p *Place) Shell(t testing.TB, commands string) *exec.Cmd {
	t.Helper()
	version, _ := Ask(t, "GET", "/version", nil)["ApiVersion"].(string)
	c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		fmt.Sprintf("gitlab-sysbox-executor() { %s --config %s \"$@\"; }\n%s\n", World.Binary, p.Runner.Driver.ConfigArgs[2], commands))
	c.Dir = p.Dir
	// A client of another age than the engine speaks the engine's version only when it is named.
	c.Env = append(append(os.Environ(), p.Runner.Env...), "DOCKER_HOST="+World.Engine.Host, "DOCKER_API_VERSION="+version)
	return c
}

// Type runs commands of the documentation, and returns all that they print.
func (p *Place) Type(t testing.TB, commands string) string {
	t.Helper()
	out, err := p.Shell(t, commands).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return string(out)
}

// GC runs gc with the place's configuration.
func (p *Place) GC(t testing.TB, flags ...string) string {
	t.Helper()
	out, err := Command(2*time.Minute, World.Binary, append(append([]string{"gc"}, p.Runner.Driver.ConfigArgs[1:]...), flags...)...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// PS is what is said of the session's job.
func (p *Place) PS(t *testing.T, s *runner.Session) overview.JobState {
	t.Helper()
	var all []overview.JobState
	if out := p.Run(t, "ps", "--json"); json.Unmarshal([]byte(out), &all) != nil {
		t.Fatal(out)
	}
	n := slices.IndexFunc(all, func(j overview.JobState) bool { return j.JobID == s.Job.ID })
	if n < 0 {
		t.Fatalf("job %d is not in %+v", s.Job.ID, all)
	}
	return all[n]
}
