package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

func TestRowHelperImage(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[helper]\nmode = \"container\"\nimage = %q\n", harness.Image(t, "bookworm"))})
	compare := p.Unchanged(t)
	j := harness.Job(t, "user1000", "id -u")
	j.Variables = append(j.Variables, runner.Variable{Key: "FILE", Value: "text", File: true})
	j.Script = append(j.Script, "echo $(cat $FILE)", "rm $FILE", "echo $TMPDIR")
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "1000", "text", "/gsx/tmp")
	harness.WantSaid(t, r, "prepare", "in a helper container")
	compare()
}

// Whatever is wrong with the helper's image is no fault of the job's.
func TestHelperImageThatDoesNotServe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ image, want string }{
		{harness.Image(t, "no-git"), "has no git; name another as helper.image"},
		{"gsx-test/absent:latest", "the helper container: "},
	} {
		p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[helper]\nmode = \"container\"\nimage = %q\npull_policy = [\"never\"]\n", c.image)})
		p.Runner.RetryPause = time.Millisecond
		j := harness.Job(t, "bookworm", "true")
		j.Variables = nil
		r := p.Runner.Play(j)
		if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), c.want) {
			t.Error(r)
		}
	}
}

// The helper image that nobody configured may be out of reach: the job goes on,
// and only what needs git fails.
func TestHelperImageOutOfReach(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[helper]\npull_policy = [\"never\"]\n"})
	s := p.Configured(t, runner.Job{
		Image:  runner.Image{Name: harness.Image(t, "no-git"), PullPolicies: []string{"if-not-present"}},
		Script: []string{"true"},
	})
	if call := s.Prepare(t.Context()); call.Err != nil || !strings.Contains(call.Output.String(), "install git in the job's image") {
		t.Fatal(call)
	}
	if call := s.Run(t.Context(), runner.StagePrepareScript); call.Err != nil {
		t.Error(call)
	}
}
