package storage

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// counting counts the jobs that were in its builds and cache folders.
func counting(t testing.TB, project int64) runner.Job {
	j := harness.Job(t, "bookworm",
		"echo x >>/builds/mark && echo x >>/cache/mark", "echo builds $(wc -l </builds/mark) cache $(wc -l </cache/mark)")
	j.ProjectID = project
	return j
}

func TestKeptFoldersAreApart(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Keep: true})
	project := harness.NewProject()
	for n, c := range []struct {
		name   string
		change func(*runner.Job)
		want   string
	}{
		{"first", func(*runner.Job) {}, "builds 1 cache 1"},
		{"same", func(*runner.Job) {}, "builds 2 cache 2"},
		{"another slot", func(j *runner.Job) { j.ConcurrentID = 1 }, "builds 1 cache 3"},
		{"another Runner", func(j *runner.Job) { j.RunnerID = 2 }, "builds 1 cache 4"},
		{"another project", func(j *runner.Job) { j.ProjectID = harness.NewProject() }, "builds 1 cache 1"},
		{"a protected ref", func(j *runner.Job) { j.Repo.Protected = true }, "builds 1 cache 1"},
		{"a cache key like a protected one's", func(j *runner.Job) { j.Cache = []runner.Cache{{Key: "k-protected", Policy: "pull"}} }, "builds 3 cache 5"},
		{"a slot of the job's choice", func(j *runner.Job) { *j = harness.With(*j, runner.Var("CI_CONCURRENT_PROJECT_ID", "0")) }, "builds 1 cache 6"},
		{"a word on protection of the job's own", func(j *runner.Job) { *j = harness.With(*j, runner.Var("CI_COMMIT_REF_PROTECTED", "true")) }, "builds 1 cache 1"},
		{"same again", func(*runner.Job) {}, "builds 4 cache 7"},
	} {
		j := counting(t, project)
		c.change(&j)
		r := p.Succeed(t, j)
		if !r.Call(runner.StageBuild).Output.Has(c.want) {
			t.Errorf("%d, %s: no %q\n%s", n, c.name, c.want, r.Call(runner.StageBuild))
		}
	}
	for _, k := range p.KeptVolumes(t) {
		if age := time.Since(k.LastUse); age > 10*time.Minute || k.Kind != "builds" && k.Kind != "cache" {
			t.Errorf("%+v, used %s ago", k, age)
		}
	}
}

func TestFoldersThatAreNotKept(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	project := harness.NewProject()
	j := counting(t, project)
	compare := p.Unchanged(t)
	for range 2 {
		harness.WantLines(t, p.Succeed(t, j), "builds 1 cache 1")
	}
	compare()
}

// Two live jobs with the same Runner, project and slot, whoever is to blame; and
// a Runner that dies without a clean-up. None of them does the next job harm.
func TestLiveJobsNeverShareABuildsFolder(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Keep: true})
	project := harness.NewProject()
	dying := counting(t, project)
	dying.Variables = append(dying.Variables, runner.Variable{Key: "SECRET", Value: "left behind", File: true})
	s := p.Ready(t, dying)
	script := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if call, err := script.Wait(time.Minute); err != nil || call.Err != nil {
		t.Fatal(err, call)
	}

	r := p.Succeed(t, counting(t, project))
	harness.WantLines(t, r, "builds 1 cache 2")
	if !strings.Contains(r.Call("prepare").Output.String(), "is in use by another job") {
		t.Error(r.Call("prepare"))
	}
	for _, k := range p.KeptVolumes(t) {
		if gone, err := p.Kept(t).Remove(t.Context(), k, false); err != nil || gone {
			t.Errorf("%s was removed under a job: %v, %v", k.Name, gone, err)
		}
	}

	ends := time.Now()
	if call := s.Cleanup(); call.Err != nil {
		t.Fatal(call)
	}
	for _, k := range p.KeptVolumes(t) {
		if k.LastUse.Before(ends) {
			t.Errorf("%s was used last %s before the end of its job", k.Name, ends.Sub(k.LastUse))
		}
	}
	next := counting(t, project)
	next.Image.User = "1000"
	next.Script = append(next.Script, "ls -a /builds/group /builds/group/*.tmp", "touch /builds/group/project/mine")
	r = p.Succeed(t, next)
	harness.WantLines(t, r, "builds 2 cache 3")
	if r.Log.Has("SECRET") {
		t.Errorf("a file variable of an earlier job is left\n%s", r)
	}
}
