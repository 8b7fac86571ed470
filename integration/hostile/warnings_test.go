package hostile

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// wantOneWarning wants one warning in what a stage wrote, and these texts in it.
func wantOneWarning(t testing.TB, c *runner.Call, texts ...string) {
	t.Helper()
	var warnings []string
	for _, l := range c.Output.Lines() {
		if strings.Contains(l.Text, "WARNING: ") && !strings.Contains(l.Text, " % full") { // while it runs
			warnings = append(warnings, l.Text)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings\n%s", len(warnings), c)
		return
	}
	for _, text := range texts {
		if !strings.Contains(warnings[0], text) {
			t.Errorf("%q is not in %q", text, warnings[0])
		}
	}
}

// A script that ends because of a limit ends with one line: which limit it was, and
// what raises it.
func TestHostileLimitsAreTold(t *testing.T) {
	t.Parallel()
	const eats = `big=$(head -c 600000000 /dev/zero | tr "\\0" x)`
	const forks = `sh -c 'for n in $(seq 200); do sleep 60 & done'`
	config := harness.Settings{Other: "[resources]\nmemory = \"300m\"\npids_limit = 70\n[job.overrides]\nmemory = \"1g\"\npids_limit = 100\n[storage]\nsize = \"512MiB\""}
	for name, c := range harness.SomeOf(4, map[string]struct {
		variables []runner.Variable
		script    []string
		warning   []string // none when empty
		outcome   runner.Outcome
	}{
		"memory":             {nil, []string{eats}, []string{"memory limit of 300MiB", "resources.memory", "EXECUTOR_MEMORY"}, runner.ScriptFailure},
		"memory of a job":    {[]runner.Variable{runner.Var("EXECUTOR_MEMORY", "100m")}, []string{eats}, []string{"memory limit of 100MiB"}, runner.ScriptFailure},
		"memory of a child":  {nil, []string{"bash -c '" + eats + "; exit 3'"}, []string{"memory limit of 300MiB"}, runner.ScriptFailure},
		"memory, and no end": {nil, []string{"bash -c '" + eats + "' || true"}, nil, runner.Success},
		"processes":          {nil, []string{forks}, []string{"limit of 70 processes", "resources.pids_limit", "EXECUTOR_PIDS_LIMIT"}, runner.ScriptFailure},
		"storage":            {nil, []string{"head -c 800m /dev/zero >/var/lib/containers/big"}, []string{"storage.size", "512MiB"}, runner.ScriptFailure},
		"none of them":       {nil, []string{"exit 137"}, nil, runner.ScriptFailure},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "memory") {
				harness.NeedsMemoryController(t)
			}
			r := harness.NewPlace(t, config).Runner.Play(harness.With(harness.Job(t, "bookworm", c.script...), c.variables...))
			harness.WantLittleMemory(t, r)
			if r.Outcome != c.outcome {
				t.Fatal(r)
			}
			call := r.Call(runner.StageBuild)
			if c.warning != nil {
				wantOneWarning(t, call, c.warning...)
			} else if strings.Contains(call.Output.String(), "WARNING: ") {
				t.Error(call)
			}
		})
	}
}
