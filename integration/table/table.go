// Package table has the jobs that run alike on every backend. integration/jobs runs them on a Docker Engine, and
// integration/kubernetes on a cluster: what differs there is a table in docs/kubernetes.md.
package table

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Backend is where the jobs run.
type Backend struct {
	// Job is a job without a repository in a test image.
	Job func(t testing.TB, image string, script ...string) runner.Job
	// Place is a test's own configuration, with these lines of [run].
	Place func(t testing.TB, run string) *harness.Place
	// Parallel runs the cases at the same time.
	Parallel bool
}

// Case is one job, and what it must do.
type Case struct {
	Name   string
	Image  string // a test image; bookworm if empty
	Script []string
	After  []string          // the job's after_script
	Run    string            // lines of [run]
	Change func(*runner.Job) // nil for none
	// CancelAt cancels the job when the script has written this line; empty for never.
	CancelAt string
	// Drive runs the stages itself, from where scripts can run.
	Drive func(*testing.T, *runner.Session)

	Outcome runner.Outcome // success if empty
	Exit    int            // of a script that fails; AnyExit if it does not matter
	Lines   []string       // of the output of build_script
	Logged  []string       // lines of the job's log
	Check   func(*testing.T, *runner.Result)
}

// AnyExit is any exit code.
const AnyExit = -1

// Run runs all cases on a backend.
func Run(t *testing.T, b Backend) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if b.Parallel {
				t.Parallel()
			}
			c.run(t, b)
		})
	}
}

func (c Case) run(t *testing.T, b Backend) {
	image := c.Image
	if image == "" {
		image = "bookworm"
	}
	p, j := b.Place(t, c.Run), b.Job(t, image, c.Script...)
	j.AfterScript = c.After
	if c.Change != nil {
		c.Change(&j)
	}
	if c.Drive != nil {
		c.Drive(t, p.Ready(t, j))
		return
	}
	play := p.Runner.Start(j)
	if c.CancelAt != "" {
		if _, err := play.Log.WaitFor(c.CancelAt, 2*time.Minute); err != nil {
			play.Abort()
			t.Fatal(err, play.Wait())
		}
		play.Cancel()
	}
	r := play.Wait()
	want := c.Outcome
	if want == "" {
		want = runner.Success
	}
	if r.Outcome != want || c.Exit != AnyExit && r.ExitCode != c.Exit || len(r.Abandoned) > 0 {
		t.Fatal(r)
	}
	harness.WantLines(t, r, c.Lines...)
	for _, line := range c.Logged {
		if !r.Log.Has(line) {
			t.Errorf("no line %q in\n%s", line, r)
		}
	}
	if strings.Contains(r.Log.String(), "ERROR: Job failed (system failure)") {
		t.Error(r)
	}
	if c.Check != nil {
		c.Check(t, r)
	}
}
