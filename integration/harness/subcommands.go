package harness

import (
	"encoding/json"
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
