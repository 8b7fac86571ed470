package harness

import (
	"math/rand/v2"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// Job is a job without a repository in a test image.
func Job(t testing.TB, imageName string, script ...string) runner.Job {
	t.Helper()
	return runner.Job{
		Image:     runner.Image{Name: Image(t, imageName), PullPolicies: []string{"if-not-present"}},
		Variables: []runner.Variable{runner.Var("GIT_STRATEGY", "none")},
		Script:    script,
		Timeout:   5 * time.Minute,
	}
}

// With adds variables to a job.
func With(j runner.Job, variables ...runner.Variable) runner.Job {
	j.Variables = append(j.Variables[:len(j.Variables):len(j.Variables)], variables...)
	return j
}

// NewProject is the number of a project that no other test has.
func NewProject() int64 { return 1000 + rand.Int64N(1_000_000_000) }
