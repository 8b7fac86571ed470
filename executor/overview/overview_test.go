package overview

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
)

// Labels of an image are not displayed as a job.
func TestHostileIdentityOfLabels(t *testing.T) {
	i := job.Identity{Server: "gitlab.example.com", RunnerID: 5, ProjectID: 1, PipelineID: 6, JobID: 2}
	labels := i.Labels("build")
	s := JobState{Name: i.Name()}
	if s.fromLabels(removal.Resource{Resource: journal.Resource{Kind: journal.Container}, ID: "c", Labels: labels, Made: time.Now()}); s.Identity != i || s.Container != "c" {
		t.Errorf("%+v", s)
	}
	labels[job.LabelServer] = "\x1b]0;owned\a"
	s = JobState{Name: i.Name()}
	if s.fromLabels(removal.Resource{Resource: journal.Resource{Kind: journal.Container}, ID: "c", Labels: labels}); s.Identity != (job.Identity{}) {
		t.Errorf("%+v", s)
	}
}
