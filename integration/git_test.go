package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
)

// wantSaid wants texts in what a stage wrote.
func wantSaid(t *testing.T, r *runner.Result, stage string, texts ...string) {
	t.Helper()
	call := r.Call(stage)
	for _, text := range texts {
		if call == nil || !strings.Contains(call.Output.String(), text) {
			t.Errorf("%s did not say %q\n%s", stage, text, r)
		}
	}
}

// Clone, fetch twice, submodules, cache and artifacts in every kind
// of image, one job after the other on the same folders.
func TestSourcesCacheAndArtifacts(t *testing.T) {
	g := newGitLab(t)
	g.commit(t, "group/sub", map[string]string{"sub.txt": "of the submodule\n"})
	first := g.commit(t, "group/project", map[string]string{"file": "first\n", ".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ../sub.git\n"},
		"submodule --quiet add ../sub.git sub")
	second := g.commit(t, "group/project", map[string]string{"file": "second\n"})
	helper := fmt.Sprintf("[helper]\nimage = %q\nrunner_binary = %q\n", image(t, "bookworm"), runnerProgram(t))

	p := newPlace(t, settings{keep: true, other: helper})
	project := 1000 + rand.Int64N(1_000_000_000)
	var before *runner.Result
	for n, c := range []struct {
		name, image, user string
		helper            bool
	}{
		{"root with git", "bookworm", "", false},
		{"user 1000 with git", "user1000", "", false},
		{"root without git", "no-git", "", true},
		{"user 1000 without git", "no-git", "1000", true},
		{"root again", "bookworm", "", false},
	} {
		sha, file := first, "first"
		if n > 0 {
			sha, file = second, "second"
		}
		j := g.job(job(t, c.image,
			"cat file sub/sub.txt",
			"[ -z \"$(find . ! -user $(id -u))\" ] && echo all is mine",
			"mkdir -p cached made && cat cached/* made/* 2>/dev/null || true",
			fmt.Sprintf("echo cache %d >cached/it && echo artifact %d >made/it && echo kept %d >.git/mark", n, n, n),
			"touch ignored && mkdir locked && touch locked/file && chmod 555 locked",
		), sha)
		j.Image.User, j.ProjectID = c.user, project
		j.Variables = append(j.Variables, runner.Var("GIT_SUBMODULE_STRATEGY", "recursive"))
		j.Cache = []runner.Cache{{Key: "key", Paths: []string{"cached/"}}}
		j.Artifacts = []runner.Artifact{{Paths: []string{"made/"}}}
		// The mark outlives a fetch, as nothing else in the folder does.
		marked := "cat .git/mark 2>/dev/null || echo no mark"
		j.Script = append([]string{marked}, j.Script...)
		if before != nil {
			j.Dependencies = []runner.Dependency{{ID: before.Job.ID, Name: "before", Token: before.Job.Token}}
		}
		since := time.Now()
		r := p.succeed(t, j)
		starts, err := world.engine.Starts(t.Context(), r.Job.ID, since, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 1, true: 2}[c.helper]; starts != want {
			t.Errorf("%s: %d container starts, want %d", c.name, starts, want)
		}
		wantLines(t, r, file, "of the submodule", "all is mine")
		if before == nil {
			wantLines(t, r, "no mark")
			wantSaid(t, r, runner.StageGetSources, "Initialized empty Git repository", "Created fresh repository", "Updated submodules")
			wantSaid(t, r, runner.StageRestoreCache, "Failed to extract cache")
		} else {
			wantLines(t, r, fmt.Sprintf("kept %d", n-1), fmt.Sprintf("cache %d", n-1), fmt.Sprintf("artifact %d", n-1))
			wantSaid(t, r, runner.StageGetSources, "Reinitialized existing Git repository", "Removing ignored", "Updated submodules")
			wantSaid(t, r, runner.StageRestoreCache, "Successfully extracted cache")
		}
		wantSaid(t, r, runner.StageArchiveCache, "Created cache")
		for _, call := range r.Calls {
			if text := call.Output.String(); strings.Contains(text, "dubious ownership") || strings.Contains(text, "Missing gitlab-runner") {
				t.Errorf("%s: %s", c.name, call)
			}
		}
		before = r
	}
}

// GIT_STRATEGY: clone begins anew, and a job may say PATH itself.
func TestCloneAndAPathOfTheJobs(t *testing.T) {
	t.Parallel()
	g := newGitLab(t)
	sha := g.commit(t, "group/project", map[string]string{"file": "text\n"})
	p := newPlace(t, settings{keep: true, other: fmt.Sprintf("[helper]\nmode = \"job\"\nrunner_binary = %q\n", runnerProgram(t))})
	project := 1000 + rand.Int64N(1_000_000_000)
	for range 2 {
		j := with(g.job(job(t, "user1000", "cat .git/mark 2>/dev/null || echo no mark", "touch .git/mark", "command -v gitlab-runner || echo no tool"), sha),
			runner.Var("GIT_STRATEGY", "clone"), runner.Var("PATH", "/usr/bin:/bin"))
		j.ProjectID = project
		j.Artifacts = []runner.Artifact{{Paths: []string{"file"}}}
		r := p.succeed(t, j)
		wantLines(t, r, "no mark", "no tool")
		wantSaid(t, r, runner.StageGetSources, "Initialized empty Git repository")
		if strings.Contains(r.Log.String(), "Missing gitlab-runner") {
			t.Error(r)
		}
	}
}

// A TMPDIR in the project's folder, which git cleans and clones anew: every script
// finds it, and git can make the project beside it.
func TestTMPDIRInTheProject(t *testing.T) {
	t.Parallel()
	g := newGitLab(t)
	sha := g.commit(t, "group/project", map[string]string{"file": "text\n"})
	for _, image := range []string{"bookworm", "user1000"} {
		for _, strategy := range []string{"fetch", "clone"} {
			t.Run(image+" "+strategy, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, settings{keep: true, other: "[helper]\nmode = \"job\"\n"})
				project := newProject()
				for range 2 {
					j := with(g.job(job(t, image, "cat file", `echo "mode $(stat -c %a "$TMPDIR")"`, `mktemp >/dev/null && mktemp -d >/dev/null && echo "in $TMPDIR"`), sha),
						runner.Var("GIT_STRATEGY", strategy), runner.Var("TMPDIR", "$CI_PROJECT_DIR/tmp"))
					j.ProjectID = project
					wantLines(t, p.succeed(t, j), "text", "mode 1777", "in /builds/group/project/tmp")
				}
			})
		}
	}
}
