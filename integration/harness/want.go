package harness

import (
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// WantLines wants these lines in what the script wrote.
func WantLines(t testing.TB, r *runner.Result, lines ...string) {
	t.Helper()
	var missing []string
	for _, line := range lines {
		if !r.Call(runner.StageBuild).Output.Has(line) {
			missing = append(missing, line)
		}
	}
	if missing != nil {
		t.Errorf("build_script wrote no %q\n%s", missing, r)
	}
}

// WantSaid wants texts in what a stage wrote.
func WantSaid(t *testing.T, r *runner.Result, stage string, texts ...string) {
	t.Helper()
	call := r.Call(stage)
	for _, text := range texts {
		if call == nil || !strings.Contains(call.Output.String(), text) {
			t.Errorf("%s did not say %q\n%s", stage, text, r)
		}
	}
}

// WantTold wants these texts somewhere in what a call wrote.
func WantTold(t testing.TB, c *runner.Call, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.Output.String(), text) {
			t.Errorf("%q was not said in\n%s", text, c)
		}
	}
}

// WantRefused wants a call to fail as the job's fault, in one line that holds
// these texts and is not long.
func WantRefused(t testing.TB, c *runner.Call, texts ...string) {
	t.Helper()
	lines := slices.DeleteFunc(c.Output.Lines(), func(l runner.Line) bool { return !strings.Contains(l.Text, "ERROR:") })
	if c.Exit != 1 || len(lines) != 1 || len(lines[0].Text) > 1000 {
		t.Errorf("exit %d, %d lines of errors\n%.2000s", c.Exit, len(lines), c.Output)
		return
	}
	for _, text := range texts {
		if !strings.Contains(lines[0].Text, text) {
			t.Errorf("%q is not in %q", text, lines[0].Text)
		}
	}
}

// WantCleanup calls cleanup and wants it to be content.
func WantCleanup(t *testing.T, s *runner.Session) {
	t.Helper()
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
}
