package job

import (
	"regexp"
	"strings"
	"testing"
)

// engineName matches the names that the Docker Engine accepts for containers and volumes.
var engineName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func TestIdentityName(t *testing.T) {
	base := Identity{Server: "gitlab.example.com", RunnerID: 1, ProjectID: 42, PipelineID: 7, JobID: 2046}
	if got, want := base.Name(), "gsx-"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "-p42-j2046") {
		t.Errorf("got %s", got)
	}
	other := base
	other.Server = "gitlab.example.org"
	if base.Name() == other.Name() {
		t.Error("two GitLab instances share a job's name")
	}
	retried := base
	retried.RunnerID, retried.PipelineID = 9, 9
	if base.Name() != retried.Name() {
		t.Error("the name depends on more than server, project and job")
	}
	hostile := base
	hostile.Server = "../../etc\n$(id)"
	if !engineName.MatchString(hostile.Name()) {
		t.Errorf("%q is no name for an engine", hostile.Name())
	}
}
