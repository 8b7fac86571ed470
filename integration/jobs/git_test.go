package jobs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Clone, fetch twice, submodules, cache and artifacts in every kind
// of image, one job after the other on the same folders.
func TestSourcesCacheAndArtifacts(t *testing.T) {
	g := harness.NewGitLab(t)
	g.Commit(t, "group/sub", map[string]string{"sub.txt": "of the submodule\n"})
	first := g.Commit(t, "group/project", map[string]string{"file": "first\n", ".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ../sub.git\n"},
		"submodule --quiet add ../sub.git sub")
	second := g.Commit(t, "group/project", map[string]string{"file": "second\n"})
	helper := fmt.Sprintf("[helper]\nimage = %q\nrunner_binary = %q\n", harness.Image(t, "bookworm"), runnerProgram(t))

	p := harness.NewPlace(t, harness.Settings{Keep: true, Other: helper})
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
		j := g.Job(harness.Job(t, c.image,
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
		r := p.Succeed(t, j)
		starts, err := harness.World.Engine.Events(t.Context(), "start", r.Job.ID, since, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 1, true: 2}[c.helper]; starts != want {
			t.Errorf("%s: %d container starts, want %d", c.name, starts, want)
		}
		harness.WantLines(t, r, file, "of the submodule", "all is mine")
		if before == nil {
			harness.WantLines(t, r, "no mark")
			harness.WantSaid(t, r, runner.StageGetSources, "Initialized empty Git repository", "Created fresh repository", "Updated submodules")
			harness.WantSaid(t, r, runner.StageRestoreCache, "Failed to extract cache")
		} else {
			harness.WantLines(t, r, fmt.Sprintf("kept %d", n-1), fmt.Sprintf("cache %d", n-1), fmt.Sprintf("artifact %d", n-1))
			harness.WantSaid(t, r, runner.StageGetSources, "Reinitialized existing Git repository", "Removing ignored", "Updated submodules")
			harness.WantSaid(t, r, runner.StageRestoreCache, "Successfully extracted cache")
		}
		harness.WantSaid(t, r, runner.StageArchiveCache, "Created cache")
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
	g := harness.NewGitLab(t)
	sha := g.Commit(t, "group/project", map[string]string{"file": "text\n"})
	p := harness.NewPlace(t, harness.Settings{Keep: true, Other: fmt.Sprintf("[helper]\nmode = \"job\"\nrunner_binary = %q\n", runnerProgram(t))})
	project := 1000 + rand.Int64N(1_000_000_000)
	for range 2 {
		j := harness.With(g.Job(harness.Job(t, "user1000", "cat .git/mark 2>/dev/null || echo no mark", "touch .git/mark", "command -v gitlab-runner || echo no tool"), sha),
			runner.Var("GIT_STRATEGY", "clone"), runner.Var("PATH", "/usr/bin:/bin"))
		j.ProjectID = project
		j.Artifacts = []runner.Artifact{{Paths: []string{"file"}}}
		r := p.Succeed(t, j)
		harness.WantLines(t, r, "no mark", "no tool")
		harness.WantSaid(t, r, runner.StageGetSources, "Initialized empty Git repository")
		if strings.Contains(r.Log.String(), "Missing gitlab-runner") {
			t.Error(r)
		}
	}
}

// A TMPDIR in the project's folder, which git cleans and clones anew: every script
// finds it, and git can make the project beside it.
func TestTMPDIRInTheProject(t *testing.T) {
	t.Parallel()
	g := harness.NewGitLab(t)
	sha := g.Commit(t, "group/project", map[string]string{"file": "text\n"})
	for _, c := range harness.Some(2, harness.Pairs([]string{"bookworm", "user1000"}, []string{"fetch", "clone"})...) {
		image, strategy := c[0], c[1]
		t.Run(image+" "+strategy, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true, Other: "[helper]\nmode = \"job\"\n"})
			project := harness.NewProject()
			for range 2 {
				j := harness.With(g.Job(harness.Job(t, image, "cat file", `echo "mode $(stat -c %a "$TMPDIR")"`, `mktemp >/dev/null && mktemp -d >/dev/null && echo "in $TMPDIR"`), sha),
					runner.Var("GIT_STRATEGY", strategy), runner.Var("TMPDIR", "$CI_PROJECT_DIR/tmp"))
				j.ProjectID = project
				harness.WantLines(t, p.Succeed(t, j), "text", "mode 1777", "in /builds/group/project/tmp")
			}
		})
	}
}

// runnerProgram is a real gitlab-runner where one is on the PATH, else a
// stand-in, which it says.
func runnerProgram(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("gitlab-runner"); err == nil {
		t.Logf("with the gitlab-runner of this machine, %s", path)
		return path
	}
	t.Log("with a stand-in: no gitlab-runner is on the PATH")
	path := filepath.Join(t.TempDir(), "gitlab-runner")
	c := exec.Command("go", "build", "-o", path, "./integration/harness/standin")
	c.Dir, c.Env = harness.World.Repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
