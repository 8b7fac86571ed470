package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sampleJob is a job of those the samples were generated for.
func sampleJob(id int64, name, token, started string) Job {
	at, err := time.Parse(time.RFC3339, started)
	if err != nil {
		panic(err)
	}
	return Job{
		ID: id, Name: name, Token: token, StartedAt: at, Timeout: time.Hour,
		CorrelationID: "4b8d4531f0864101b9a98ec967a6e86b", Repo: Repo{Protected: true},
		Hostname: "trivial-host",
		Script:   []string{"echo main"}, AfterScript: []string{"echo aft"},
	}
}

// TestScriptsAreTheRunnersOwn compares what we generate, byte for byte, with
// what a real Runner 19.3 generated for the same job.
func TestScriptsAreTheRunnersOwn(t *testing.T) {
	release := sampleJob(2046, "release", "glcbt-64_37d0c97b6b936e4b688b", "2026-11-21T20:52:53Z")
	release.Steps = []Step{{Name: "release", Script: []string{"echo release $CI_JOB_ID"}}}
	noGit := sampleJob(2045, "git-none", "glcbt-64_1beabf3a0d0c16a062b0", "2026-11-21T20:52:51Z")
	noGit.Variables = []Variable{Var("GIT_STRATEGY", "none")}
	posix := sampleJob(2047, "shell-sh-posix", "glcbt-64_303d6d72e49fe64b6cb8", "2026-11-21T20:53:15Z")
	posix.Image, posix.Shell = Image{Name: "alpine"}, "sh"
	posix.Variables = []Variable{Var("CFG_SHELL", "sh"), Var("FF_POSIXLY_CORRECT_ESCAPES", "true"), Var("X", "it's \nnl")}
	posix.Script = []string{`echo a "$X" $0; echo hi`}
	failing := sampleJob(2000, "fail-exit3", "glcbt-64_22fcf15bcf69802f0a5b", "2026-11-21T20:48:04Z")
	all := sampleJob(2051, "all-stages", "glcbt-64_294eeba84a219e66331b", "2026-11-21T20:53:54Z")
	all.Variables = []Variable{Var("TMPDIR", "/tmp")}
	all.Dependencies = []Dependency{{ID: 1001, Name: "ok job", Token: "glcbt-64_1430f0102bb7b4d43c75"}}
	for _, j := range []*Job{&failing, &all} {
		j.Cache = []Cache{{Key: "k2", Paths: []string{"cached/"}, When: "always"}}
		j.Artifacts = []Artifact{{Name: "arts", Paths: []string{"out.txt"}, When: "always"}}
	}

	for _, c := range []struct {
		sample, stage, status string
		job                   Job
	}{
		{"prepare_script", StagePrepareScript, "running", release},
		{"get_sources", StageGetSources, "running", release},
		{"get_sources.GIT_STRATEGY-none", StageGetSources, "running", noGit},
		{"clear_worktree", StageClearWorktree, "running", release},
		{"restore_cache", StageRestoreCache, "running", failing},
		{"download_artifacts", StageDownload, "running", all},
		{"build_script", StageBuild, "running", release},
		{"build_script.shell-sh+FF_POSIXLY_CORRECT_ESCAPES", StageBuild, "running", posix},
		{"step_release", "step_release", "running", release},
		{"after_script", StageAfter, "success", release},
		{"archive_cache", StageArchiveCache, "success", all},
		{"archive_cache_on_failure", StageArchiveOnFailure, "failed", failing},
		{"upload_artifacts_on_success", StageUploadOnSuccess, "success", all},
		{"upload_artifacts_on_failure", StageUploadOnFailure, "failed", failing},
		{"cleanup_file_variables", StageCleanupFiles, "success", release},
	} {
		t.Run(c.sample, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata/generated-scripts", c.sample+".sh"))
			if err != nil {
				t.Fatal(err)
			}
			job := c.job.withDefaults()
			work := workspace{buildsDir: "/builds", projectDir: "/builds/group/project", cacheDir: "/cache/group/project"}
			s := scripts{job: job, work: work, vars: job.allVariables(work), shell: job.Shell, hostname: job.Hostname}
			s.vars[s.vars.index("CI_JOB_STATUS")].Value = c.status
			got := s.of(c.stage)
			if got != string(want) {
				reportFirstDifference(t, got, string(want))
			}
		})
	}
}

func reportFirstDifference(t *testing.T, got, want string) {
	t.Helper()
	split := func(s string) []string { return strings.Split(strings.ReplaceAll(s, `\n`, "\n"), "\n") }
	g, w := split(got), split(want)
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("differs from the Runner's at line %d:\n got %q\nwant %q", i+1, at(g, i), at(w, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end of file)"
}
