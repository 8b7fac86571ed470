package overview

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/heap"
)

// FuzzLabels gives gc and ps a container with arbitrary name and labels, as an image can set them. If it counts
// as a job's container, its name is safe for a file and a terminal, and the displayed values match the name.
// Only a process of this machine counts as alive.
func FuzzLabels(f *testing.F) {
	i := job.Identity{Server: "gitlab.example.com:8443", RunnerID: 1, ProjectID: 2, PipelineID: 3, JobID: 4}
	self := owner.Current()
	f.Add(i.Name(), i.Name(), i.Server, "1", "2", "3", "4", self.String(), "build")
	f.Add(i.Name()+"-s0", i.Name(), i.Server, "1", "2", "3", "4", "1/2/b/s/m/3", "service")
	f.Add("web", "gsx-\x1b]0;owned\a", "\x1b", "-1", "9223372036854775808", "0x1", " 4", "-1/-1/////", "")
	f.Add("../x", "../../etc", "", "", "", "", "", "", "")
	dir := statedir.Dir(f.TempDir())
	f.Fuzz(func(t *testing.T, thingName, name, server, runner, project, pipeline, number, driver, role string) {
		defer heap.Bounded(t)()
		labels := job.ContainerLabels(map[string]string{
			job.LabelName: name, job.LabelServer: server, job.LabelRunner: runner, job.LabelProject: project, job.LabelPipeline: pipeline,
			job.LabelJob: number, job.LabelOwner: driver, job.LabelRole: role, job.LabelState: project,
		})
		found := engine.Found{ID: "c", Name: thingName, Labels: labels}
		resource := removal.Resource{Resource: journal.Resource{Kind: journal.Container, Name: thingName}, Job: name, ID: "c", Labels: labels}
		if job.Owns(name, found.Name, found.Labels) {
			path := dir.Job(name)
			if filepath.Dir(path) != dir.Jobs() || !dir.Holds(path) || strings.ContainsFunc(name, unicode.IsControl) || len(name) > 64 || !strings.HasPrefix(thingName, name) {
				t.Errorf("%q of %q is taken for ours", thingName, name)
			}
		}
		s := JobState{Name: name}
		s.fromLabels(resource)
		if s.Identity != (job.Identity{}) && s.Identity.Name() != name {
			t.Errorf("%q is shown as %+v", name, s.Identity)
		}
		p := owner.Parse(driver)
		if p != (owner.Process{}) && owner.Parse(p.String()) != p {
			t.Errorf("%q is %+v", driver, p)
		}
		if p != (owner.Process{}) && p.State(false) == owner.Alive && (p.Machine != self.Machine || p.Boot != self.Boot || p.PID <= 0) {
			t.Errorf("%q lives", driver)
		}
	})
}
