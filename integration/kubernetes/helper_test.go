package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// The helper container clones for an image without git, as the job's user. An image with git needs none, unless the
// configuration says so.
func TestHelperContainer(t *testing.T) {
	g := harness.NewGitLabAt(t, world.env["HOST"])
	sha := g.Commit(t, "group/project", map[string]string{"file": "of the repository\n"})
	image := fmt.Sprintf("helper.image = %q", buildahImage)
	for name, c := range map[string]struct {
		image, user string
		further     []string
		want        string
	}{
		"root without git":      {noGitImage, "", []string{image}, "the job's image has no git"},
		"user 1000 without git": {noGitImage, "1000", []string{image}, "the job's image has no git"},
		"always":                {builderImage, "", []string{image, `helper.mode = "container"`}, "the configuration says so"},
		"not needed":            {buildahImage, "", []string{image}, ""},
		"never":                 {buildahImage, "", []string{image, `helper.mode = "job"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.further...)
			j := g.Job(job("cat file $FILE", `[ -z "$(find . ! -user $(id -u))" ] && echo all is mine`, "rm $FILE", "touch $TMPDIR/file"), sha)
			j.Image.Name, j.Image.User = c.image, c.user
			j.Variables = append(j.Variables, runner.Variable{Key: "FILE", Value: "of the variable", File: true})
			r := p.succeed(t, j)
			text := r.Log.String()
			for _, want := range []string{"of the repository\n", "of the variable", "all is mine"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if got := strings.Contains(text, "in a helper container, image "+buildahImage+": "+c.want); got != (c.want != "") || strings.Contains(text, "WARNING") || strings.Contains(text, "dubious ownership") {
				t.Error(text)
			}
			p.wantNothing(t)
		})
	}
}

// A job whose image has no gitlab-runner does its artifacts in the helper container.
func TestHelperForArtifacts(t *testing.T) {
	p := newPlace(t, fmt.Sprintf("helper.image = %q", buildahImage))
	j := job("echo text >file")
	j.Artifacts = []runner.Artifact{{Paths: []string{"file"}}}
	s := p.prepared(t, j)
	if call := s.RunScript(t.Context(), "upload_artifacts_on_success", "echo HOME=$HOME"); call.Err != nil || !strings.Contains(call.Output.String(), "HOME=/home/job") {
		t.Error(call)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}

// If the default image cannot be reached, the job goes on without a helper. An image that the administrator chose has to
// serve, and it is no fault of the job's if it does not.
func TestHelperImageOutOfReach(t *testing.T) {
	p := newPlace(t, `helper.pull_policy = ["never"]`)
	j := job("true")
	j.Image.Name, j.Variables = noGitImage, nil
	s := p.open(t, j)
	if call := s.Prepare(t.Context()); call.Err != nil || !strings.Contains(call.Output.String(), "install git in the job's image") {
		t.Error(call)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
	for image, want := range map[string]string{
		"docker.io/gsx-test/absent:1": "the helper container: image docker.io/gsx-test/absent:1 (helper.image): the node does not get it: ErrImageNeverPull",
		noGitImage:                    "has no git; name another as helper.image",
	} {
		p := newPlace(t, `helper.pull_policy = ["never"]`, fmt.Sprintf("helper.image = %q", image), `helper.mode = "container"`)
		if r := p.Play(j); r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), want) {
			t.Error(r)
		}
		p.wantNothing(t)
	}
}
