package stages

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
)

func foldersOf(t *testing.T, cfg *config.Config, job string, vars map[string]string) (executor.Folders, string) {
	t.Helper()
	j, err := ParseJob([]byte(job))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	c := &Call{Job: j, Variables: vars}
	id, _ := c.Identity()
	return folders(c, cfg, id, log), said.String()
}

func TestFolders(t *testing.T) {
	never := config.Default()
	never.Builds.Keep, never.Cache.Keep = false, false
	type want struct{ builds, cache, protectedBuilds, protectedCache bool }
	for name, c := range map[string]struct {
		cfg  *config.Config
		job  string
		want want
	}{
		"as a rule":       {config.Default(), `{}`, want{true, true, false, false}},
		"never":           {never, `{}`, want{false, false, false, false}},
		"a protected ref": {config.Default(), `{"git_info":{"protected":true}}`, want{true, true, true, true}},
		"the payload wins": {config.Default(),
			`{"git_info":{"protected":false},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, false, false}},
		"an old GitLab": {config.Default(), `{"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, true, true}},
		"an old GitLab and a sly author": {config.Default(),
			`{"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"false"},{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, false, false}},
		"a protected cache":         {config.Default(), `{"cache":[{"key":"a"},{"key":"main-protected"}]}`, want{true, true, false, true}},
		"one that is not":           {config.Default(), `{"cache":[{"key":"main-non_protected"}]}`, want{true, true, false, false}},
		"a job that chose a slot":   {config.Default(), `{"variables":[{"key":"CI_CONCURRENT_PROJECT_ID","value":"7"}]}`, want{false, true, false, false}},
		"a job that chose a Runner": {config.Default(), `{"variables":[{"key":"CI_RUNNER_ID","value":"1"},{"key":"CI_RUNNER_ID","value":"7"}]}`, want{false, true, false, false}},
		"a Runner's number":         {config.Default(), `{"variables":[{"key":"CI_RUNNER_ID","value":"7"}]}`, want{true, true, false, false}},
		"a job of the try command":  {config.Default(), `{"git_info":{"repo_url":"https://try.invalid/a/b.git"}}`, want{false, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			job := strings.Replace(c.job, "{", `{"id":1,"job_info":{"project_id":2},`, 1)
			f, said := foldersOf(t, c.cfg, strings.Replace(job, ",}", "}", 1), map[string]string{"CI_CONCURRENT_PROJECT_ID": "3", "CI_RUNNER_ID": "7"})
			if got := (want{f.KeepBuilds, f.KeepCache, f.ProtectedBuilds, f.ProtectedCache}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if f.Slot != 3 {
				t.Errorf("slot %d", f.Slot)
			}
			if strings.Contains(said, "not kept") != strings.HasPrefix(name, "a job that chose") {
				t.Errorf("said %q", said)
			}
		})
	}
}

// What is cleared is nowhere but in the builds folder.
func TestTemporaryFolder(t *testing.T) {
	for project, want := range map[string]string{
		"/builds/group/project": "/builds/group/project.tmp",
		"/builds":               "",
		"/etc/../builds/a":      "/builds/a.tmp",
		"/builds/../etc":        "",
		"/buildsx/a":            "",
		"relative":              "",
	} {
		f, _ := foldersOf(t, config.Default(), `{"id":1}`, map[string]string{"CI_PROJECT_DIR": project})
		if f.Temp != want {
			t.Errorf("%s: got %q, want %q", project, f.Temp, want)
		}
	}
}

func TestHelperStages(t *testing.T) {
	for stage, want := range map[string]bool{
		"prepare_script": false, "get_sources": true, "clear_worktree": true, "restore_cache": true, "download_artifacts": true,
		"build_script": false, "step_script": false, "step_release": false, "after_script": false,
		"archive_cache": true, "archive_cache_on_failure": true,
		"upload_artifacts_on_success": true, "upload_artifacts_on_failure": true, "cleanup_file_variables": true,
		"one of tomorrow's": false,
	} {
		if got := helperStage(stage); got != want {
			t.Errorf("%s: %v", stage, got)
		}
	}
}

func TestHelperNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		job, strategy string
		git, tool     bool
	}{
		"a plain job":  {`{}`, "", true, false},
		"clone":        {`{}`, "clone", true, false},
		"no sources":   {`{}`, "none", false, false},
		"empty":        {`{}`, "empty", false, false},
		"a cache":      {`{"cache":[{"key":"k"}]}`, "none", false, true},
		"artifacts":    {`{"artifacts":[{"paths":["a"]}]}`, "none", false, true},
		"dependencies": {`{"dependencies":[{"id":1}]}`, "none", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := ParseJob([]byte(c.job))
			if err != nil {
				t.Fatal(err)
			}
			h, err := helper(&Call{Job: j, Variables: map[string]string{"GIT_STRATEGY": c.strategy}}, config.Default())
			if err != nil || h.NeedsGit != c.git || h.NeedsTool != c.tool {
				t.Errorf("got %+v, %v", h, err)
			}
		})
	}
}

func TestHelperImage(t *testing.T) {
	const official = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-"
	for _, c := range []struct{ configured, version, want string }{
		{"", "19.3.0", official + "v19.3.0"},
		{"", "17.9.1", official + "v17.9.1"},
		{"", "18.5.0~pre.20.g1234abcd", official + "v18.5.0"},
		{"", "development version", official + "latest"},
		{"", "", official + "latest"},
		{"", "x/evil:1.2.3", official + "latest"},
		{"own:x86_64-v${CI_RUNNER_VERSION}", "19.3.0", "own:x86_64-v19.3.0"},
		{"own:$CI_RUNNER_VERSION", "1@sha256:0/../$(id)\n", "own:1sha2560..id"},
		{"own:1", "", "own:1"},
	} {
		call := &Call{Variables: map[string]string{"CI_RUNNER_VERSION": c.version}}
		if got := call.helperImage(c.configured); strings.Replace(got, "arm64", "x86_64", 1) != c.want {
			t.Errorf("%q with %q: got %q, want %q", c.configured, c.version, got, c.want)
		}
	}
}

func TestCacheMountsAreKeptOnRequest(t *testing.T) {
	cfg := config.Default()
	const job = `{"id":1,"job_info":{"project_id":2},"cache":[{"key":"main-protected"}]}`
	if f, _ := foldersOf(t, cfg, job, nil); f.KeepCacheMounts || cacheMounts(cfg) != 0 {
		t.Errorf("%+v", f)
	}
	cfg.Storage.CacheMounts = "project"
	// A job's author may choose a cache key, and shall not choose protection by it.
	if f, _ := foldersOf(t, cfg, job, nil); !f.KeepCacheMounts || f.ProtectedBuilds || cacheMounts(cfg) != 10<<30 {
		t.Errorf("%+v", f)
	}
	if f, _ := foldersOf(t, cfg, `{"id":1,"job_info":{"project_id":2},"git_info":{"repo_url":"https://try.invalid/a/b.git"}}`, nil); f.KeepCacheMounts {
		t.Errorf("%+v", f)
	}
}
