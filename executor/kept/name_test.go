package kept

import (
	"regexp"
	"strconv"
	"testing"

	"gitlab-sysbox-executor/executor/job"
)

// engineName matches the names that the Docker Engine accepts for containers and volumes.
var engineName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func TestKeptVolumesOfDifferentJobs(t *testing.T) {
	base := job.Identity{Server: "gitlab.example.com", RunnerID: 1, ProjectID: 42, PipelineID: 7, JobID: 2046}
	volumes := func(change func(*job.Identity), protected bool) (builds, cache string) {
		i := base
		change(&i)
		builds, labels := volumeFor(i, "builds", protected, map[string]string{job.LabelRunner: strconv.FormatInt(i.RunnerID, 10), job.LabelSlot: "3"})
		if labels[job.LabelName] != "" || labels[job.LabelJob] != "" || labels[job.LabelKept] != "builds" {
			t.Errorf("labels %v", labels)
		}
		cache, _ = volumeFor(i, "cache", protected, nil)
		return builds, cache
	}
	builds, cache := volumes(func(*job.Identity) {}, false)
	for name, c := range map[string]struct {
		change                func(*job.Identity)
		protected             bool
		sameBuilds, sameCache bool
	}{
		"another job":     {func(i *job.Identity) { i.JobID, i.PipelineID = 1, 1 }, false, true, true},
		"another Runner":  {func(i *job.Identity) { i.RunnerID = 2 }, false, false, true},
		"another project": {func(i *job.Identity) { i.ProjectID = 4 }, false, false, false},
		"another server":  {func(i *job.Identity) { i.Server = "../../etc\n$(id)" }, false, false, false},
		"a protected ref": {func(*job.Identity) {}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b, ca := volumes(c.change, c.protected)
			if (b == builds) != c.sameBuilds || (ca == cache) != c.sameCache {
				t.Errorf("%s and %s beside %s and %s", b, ca, builds, cache)
			}
			if !engineName.MatchString(b) || !engineName.MatchString(ca) {
				t.Errorf("%q or %q is no name for an engine", b, ca)
			}
		})
	}
}
