package executor

import (
	"regexp"
	"strconv"
	"testing"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
)

// engineName is what the Docker Engine takes as a name of a container or volume.
var engineName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func TestKeptVolumesOfDifferentJobs(t *testing.T) {
	base := Identity{Server: "gitlab.example.com", RunnerID: 1, ProjectID: 42, PipelineID: 7, JobID: 2046}
	volumes := func(change func(*Identity), protected bool) (builds, cache string) {
		i := base
		change(&i)
		builds, labels := keptVolume(i, "builds", protected, map[string]string{job.LabelRunner: strconv.FormatInt(i.RunnerID, 10), job.LabelSlot: "3"})
		if labels[job.LabelName] != "" || labels[job.LabelJob] != "" || labels[job.LabelKept] != "builds" {
			t.Errorf("labels %v", labels)
		}
		cache, _ = keptVolume(i, "cache", protected, nil)
		return builds, cache
	}
	builds, cache := volumes(func(*Identity) {}, false)
	for name, c := range map[string]struct {
		change                func(*Identity)
		protected             bool
		sameBuilds, sameCache bool
	}{
		"another job":     {func(i *Identity) { i.JobID, i.PipelineID = 1, 1 }, false, true, true},
		"another Runner":  {func(i *Identity) { i.RunnerID = 2 }, false, false, true},
		"another project": {func(i *Identity) { i.ProjectID = 4 }, false, false, false},
		"another server":  {func(i *Identity) { i.Server = "../../etc\n$(id)" }, false, false, false},
		"a protected ref": {func(*Identity) {}, true, false, false},
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

func TestWhyAHelper(t *testing.T) {
	full := Helper{Mode: HelperAuto, NeedsGit: true, NeedsTool: true, Tool: "/usr/bin/gitlab-runner", ToolName: "gitlab-runner"}
	with := func(change func(*Helper)) Helper { h := full; change(&h); return h }
	for name, c := range map[string]struct {
		helper Helper
		git    bool
		want   string
	}{
		"all is there":        {full, true, ""},
		"no git":              {full, false, "the job's image has no git"},
		"no git, none needed": {with(func(h *Helper) { h.NeedsGit = false }), false, ""},
		"no tool":             {with(func(h *Helper) { h.Tool = "" }), true, ""},
		"never":               {with(func(h *Helper) { h.Mode = HelperJob }), false, ""},
		"always":              {with(func(h *Helper) { h.Mode = HelperContainer }), true, "the configuration says so"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.helper.why(agent.Report{Git: c.git}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
