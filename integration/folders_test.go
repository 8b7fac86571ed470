package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/runner"
)

// kept gives what the product itself says and does about volumes that are kept.
func (p *place) kept(t testing.TB) *kept.Store {
	t.Helper()
	e, err := engine.New(world.engine.Host, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return &kept.Store{State: statedir.Dir(p.stateDir), Engine: e, Local: true}
}

// keptVolumes are those that jobs with this state folder used.
func (p *place) keptVolumes(t testing.TB) []kept.Volume {
	t.Helper()
	all, err := p.kept(t).List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var ours []kept.Volume
	for _, k := range all {
		if !k.LastUse.IsZero() {
			ours = append(ours, k)
		}
	}
	return ours
}

func (p *place) removeKept(t testing.TB) {
	for _, k := range p.keptVolumes(t) {
		if gone, err := p.kept(t).Remove(context.Background(), k, false); err != nil || !gone {
			t.Errorf("%s: gone %v, %v", k.Name, gone, err)
		}
	}
}

func newProject() int64 { return 1000 + rand.Int64N(1_000_000_000) }

// counting counts the jobs that were in its builds and cache folders.
func counting(t testing.TB, project int64) runner.Job {
	j := job(t, "bookworm",
		"echo x >>/builds/mark && echo x >>/cache/mark", "echo builds $(wc -l </builds/mark) cache $(wc -l </cache/mark)")
	j.ProjectID = project
	return j
}

func TestKeptFoldersAreApart(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{keep: true})
	project := newProject()
	for n, c := range []struct {
		name   string
		change func(*runner.Job)
		want   string
	}{
		{"first", func(*runner.Job) {}, "builds 1 cache 1"},
		{"same", func(*runner.Job) {}, "builds 2 cache 2"},
		{"another slot", func(j *runner.Job) { j.ConcurrentID = 1 }, "builds 1 cache 3"},
		{"another Runner", func(j *runner.Job) { j.RunnerID = 2 }, "builds 1 cache 4"},
		{"another project", func(j *runner.Job) { j.ProjectID = newProject() }, "builds 1 cache 1"},
		{"a protected ref", func(j *runner.Job) { j.Repo.Protected = true }, "builds 1 cache 1"},
		{"a cache key like a protected one's", func(j *runner.Job) { j.Cache = []runner.Cache{{Key: "k-protected", Policy: "pull"}} }, "builds 3 cache 5"},
		{"a slot of the job's choice", func(j *runner.Job) { *j = with(*j, runner.Var("CI_CONCURRENT_PROJECT_ID", "0")) }, "builds 1 cache 6"},
		{"a word on protection of the job's own", func(j *runner.Job) { *j = with(*j, runner.Var("CI_COMMIT_REF_PROTECTED", "true")) }, "builds 1 cache 1"},
		{"same again", func(*runner.Job) {}, "builds 4 cache 7"},
	} {
		j := counting(t, project)
		c.change(&j)
		r := p.succeed(t, j)
		if !r.Call(runner.StageBuild).Output.Has(c.want) {
			t.Errorf("%d, %s: no %q\n%s", n, c.name, c.want, r.Call(runner.StageBuild))
		}
	}
	for _, k := range p.keptVolumes(t) {
		if age := time.Since(k.LastUse); age > 10*time.Minute || k.Kind != "builds" && k.Kind != "cache" {
			t.Errorf("%+v, used %s ago", k, age)
		}
	}
}

func TestFoldersThatAreNotKept(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	project := newProject()
	j := counting(t, project)
	compare := p.unchanged(t)
	for range 2 {
		wantLines(t, p.succeed(t, j), "builds 1 cache 1")
	}
	compare()
}

// Two live jobs with the same Runner, project and slot, whoever is to blame; and
// a Runner that dies without a clean-up. None of them does the next job harm.
func TestLiveJobsNeverShareABuildsFolder(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{keep: true})
	project := newProject()
	dying := counting(t, project)
	dying.Variables = append(dying.Variables, runner.Variable{Key: "SECRET", Value: "left behind", File: true})
	s := p.ready(t, dying)
	script := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if call, err := script.Wait(time.Minute); err != nil || call.Err != nil {
		t.Fatal(err, call)
	}

	r := p.succeed(t, counting(t, project))
	wantLines(t, r, "builds 1 cache 2")
	if !strings.Contains(r.Call("prepare").Output.String(), "is in use by another job") {
		t.Error(r.Call("prepare"))
	}
	for _, k := range p.keptVolumes(t) {
		if gone, err := p.kept(t).Remove(t.Context(), k, false); err != nil || gone {
			t.Errorf("%s was removed under a job: %v, %v", k.Name, gone, err)
		}
	}

	ends := time.Now()
	if call := s.Cleanup(); call.Err != nil {
		t.Fatal(call)
	}
	for _, k := range p.keptVolumes(t) {
		if k.LastUse.Before(ends) {
			t.Errorf("%s was used last %s before the end of its job", k.Name, ends.Sub(k.LastUse))
		}
	}
	next := counting(t, project)
	next.Image.User = "1000"
	next.Script = append(next.Script, "ls -a /builds/group /builds/group/*.tmp", "touch /builds/group/project/mine")
	r = p.succeed(t, next)
	wantLines(t, r, "builds 2 cache 3")
	if r.Log.Has("SECRET") {
		t.Errorf("a file variable of an earlier job is left\n%s", r)
	}
}

func TestRowHelperImage(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: fmt.Sprintf("[helper]\nmode = \"container\"\nimage = %q\n", image(t, "bookworm"))})
	compare := p.unchanged(t)
	j := job(t, "user1000", "id -u")
	j.Variables = append(j.Variables, runner.Variable{Key: "FILE", Value: "text", File: true})
	j.Script = append(j.Script, "echo $(cat $FILE)", "rm $FILE", "echo $TMPDIR")
	r := p.succeed(t, j)
	wantLines(t, r, "1000", "text", "/var/lib/containers/tmp")
	wantSaid(t, r, "prepare", "in a helper container")
	compare()
}

// Whatever is wrong with the helper's image is no fault of the job's.
func TestHelperImageThatDoesNotServe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ image, want string }{
		{image(t, "no-git"), "has no git; name another as helper.image"},
		{"gsx-test/absent:latest", "the helper container: "},
	} {
		p := newPlace(t, settings{other: fmt.Sprintf("[helper]\nmode = \"container\"\nimage = %q\npull_policy = [\"never\"]\n", c.image)})
		p.runner.RetryPause = time.Millisecond
		j := job(t, "bookworm", "true")
		j.Variables = nil
		r := p.runner.Play(j)
		if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), c.want) {
			t.Error(r)
		}
	}
}

// The helper image that nobody configured may be out of reach: the job goes on,
// and only what needs git fails.
func TestHelperImageOutOfReach(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[helper]\npull_policy = [\"never\"]\n"})
	s := p.configured(t, runner.Job{
		Image:  runner.Image{Name: image(t, "no-git"), PullPolicies: []string{"if-not-present"}},
		Script: []string{"true"},
	})
	if call := s.Prepare(t.Context()); call.Err != nil || !strings.Contains(call.Output.String(), "install git in the job's image") {
		t.Fatal(call)
	}
	if call := s.Run(t.Context(), runner.StagePrepareScript); call.Err != nil {
		t.Error(call)
	}
}
