package jobs

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// The tests whose names begin with TestRow show, feature by feature, what
// docs/docker-executor.md says of GitLab's Docker executor. They stand where their
// subject is; here are those that have no other place.

// A bare architecture means Linux; one that the machine is not of is refused.
func TestRowPlatform(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: `pull_policy = ["never"]`})
	for platform, refused := range map[string]bool{
		runtime.GOARCH:            false,
		"linux/" + runtime.GOARCH: false,
		"riscv64":                 true,
	} {
		t.Run(platform, func(t *testing.T) {
			j := harness.Job(t, "bookworm", "true")
			j.Image.Platform, j.Image.PullPolicies = platform, nil
			r := p.Runner.Play(j)
			if said := strings.Contains(r.Log.String(), "on this machine for the platform linux/"); said != refused || (r.Outcome != runner.Success) != refused {
				t.Error(r)
			}
		})
	}
}

// Labels tell whose a container is, and are not those that the Runner's own
// clean-up tools prune by.
func TestRowLabels(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	found, err := harness.World.Engine.Containers(t.Context(), "io.gitlab-sysbox-executor.job="+strconv.FormatInt(s.Job.ID, 10))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for name, want := range map[string]int64{"project": s.Job.ProjectID, "pipeline": s.Job.PipelineID, "runner": s.Job.RunnerID} {
		if got := found[0].Labels["io.gitlab-sysbox-executor."+name]; got != strconv.FormatInt(want, 10) {
			t.Errorf("%s is %q, want %d", name, got, want)
		}
	}
	for name := range found[0].Labels {
		if strings.HasPrefix(name, "com.gitlab.gitlab-runner") {
			t.Errorf("label %s is the Runner's", name)
		}
	}
}

// A volume without a source is each job's own.
func TestRowOwnVolumes(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[container]\nvolumes = [\"/own\"]"})
	j := harness.Job(t, "bookworm", "echo $(ls -A /own | wc -l) files there", "touch /own/file", "findmnt --noheadings --output TARGET /own")
	for range 2 {
		harness.WantLines(t, p.Succeed(t, j), "0 files there", "/own")
	}
}
