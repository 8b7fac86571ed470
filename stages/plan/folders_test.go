package plan

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

func foldersOf(t *testing.T, cfg *config.Config, job string, vars map[string]string) (job.Folders, string) {
	t.Helper()
	j, err := contract.ParseJob([]byte(job))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	c := &contract.Call{Job: j, Variables: vars}
	id, _ := c.Identity()
	f, err := folders(c, cfg, id, log)
	if err != nil {
		t.Fatal(err)
	}
	return f, said.String()
}

// GitLab's own variables, as far as they matter here.
const predefined = `{"key":"CI_JOB_ID","value":"1"},{"key":"CI_PROJECT_ID","value":"2"}`

func TestFolders(t *testing.T) {
	never := config.Default()
	never.Builds.Keep, never.Cache.Keep = false, false
	type want struct{ builds, cache, protected bool }
	const chosen = `is not kept`
	const doubtful = `counts as unprotected`
	for name, c := range map[string]struct {
		cfg  *config.Config
		job  string
		want want
		said string
	}{
		"as a rule":       {config.Default(), `{}`, want{true, true, false}, ""},
		"never":           {never, `{}`, want{false, false, false}, ""},
		"a protected ref": {config.Default(), `{"git_info":{"protected":true}}`, want{true, true, true}, ""},
		"a protected ref, and it says so": {config.Default(), `{"git_info":{"protected":true},"variables":[` + predefined + `,{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`,
			want{true, true, true}, ""},
		"an old GitLab": {config.Default(), `{"variables":[` + predefined + `,{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, true}, ""},
		// A pipeline can be made without GitLab's own variables.
		"an old GitLab and the author's variables alone": {config.Default(), `{"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, false}, ""},
		"an old GitLab and another job's number": {config.Default(),
			`{"variables":[{"key":"CI_JOB_ID","value":"7"},{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{true, true, false}, ""},
		"the author contradicts the payload": {config.Default(),
			`{"git_info":{"protected":false},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{false, false, false}, doubtful},
		"the author contradicts an old GitLab": {config.Default(),
			`{"variables":[` + predefined + `,{"key":"CI_COMMIT_REF_PROTECTED","value":"false"},{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, want{false, false, false}, doubtful},
		"in the other order": {config.Default(),
			`{"variables":[` + predefined + `,{"key":"CI_COMMIT_REF_PROTECTED","value":"true"},{"key":"CI_COMMIT_REF_PROTECTED","value":"false"}]}`, want{false, false, false}, doubtful},
		"the author gives protection up": {config.Default(),
			`{"git_info":{"protected":true},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"false"}]}`, want{false, false, false}, doubtful},
		"protection from a vault":            {config.Default(), `{"git_info":{"protected":true},"secrets":{"CI_COMMIT_REF_PROTECTED":{}}}`, want{false, false, false}, doubtful},
		"another project's number":           {config.Default(), `{"git_info":{"protected":true},"variables":[{"key":"CI_PROJECT_ID","value":"4711"}]}`, want{false, false, false}, doubtful},
		"a cache key like a protected one's": {config.Default(), `{"git_info":{"protected":false},"cache":[{"key":"a"},{"key":"main-protected"}]}`, want{true, true, false}, ""},
		"a job that chose a slot":            {config.Default(), `{"variables":[{"key":"CI_CONCURRENT_PROJECT_ID","value":"7"}]}`, want{false, true, false}, chosen},
		"a slot from a vault":                {config.Default(), `{"secrets":{"CI_CONCURRENT_PROJECT_ID":{"file":false}}}`, want{false, true, false}, chosen},
		"a slot by the other half of a name": {config.Default(), `{"variables":[{"key":"CI_CONCURRENT_PROJECT_ID=","value":"7"}]}`, want{false, true, false}, chosen},
		"a job that chose a Runner":          {config.Default(), `{"variables":[{"key":"CI_RUNNER_ID","value":"1"},{"key":"CI_RUNNER_ID","value":"7"}]}`, want{false, true, false}, chosen},
		"a Runner from a vault":              {config.Default(), `{"secrets":{"CI_RUNNER_ID":{"file":false}}}`, want{false, true, false}, chosen},
		"a Runner's number":                  {config.Default(), `{"variables":[{"key":"CI_RUNNER_ID","value":"7"}]}`, want{true, true, false}, ""},
		"a job that chose its folder":        {config.Default(), `{"variables":[{"key":"CI_PROJECT_DIR","value":"/builds/x"}]}`, want{false, true, false}, chosen},
		"a job that chose where to clone":    {config.Default(), `{"variables":[{"key":"GIT_CLONE_PATH","value":"/builds/x"}]}`, want{false, true, false}, chosen},
		"a folder from a vault":              {config.Default(), `{"secrets":{"GIT_CLONE_PATH":{"file":false}}}`, want{false, true, false}, chosen},
		"a job of the try command":           {config.Default(), `{"git_info":{"repo_url":"https://try.invalid/a/b.git"},"variables":[{"key":"CI_PROJECT_DIR","value":"/builds/x"}]}`, want{false, false, false}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			job := strings.Replace(c.job, "{", `{"id":1,"job_info":{"project_id":2},`, 1)
			f, said := foldersOf(t, c.cfg, strings.Replace(job, ",}", "}", 1), map[string]string{"CI_CONCURRENT_PROJECT_ID": "3", "CI_RUNNER_ID": "7"})
			if got := (want{f.KeepBuilds, f.KeepCache, f.Protected}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if f.Slot != 3 {
				t.Errorf("slot %d", f.Slot)
			}
			if (said != "") != (c.said != "") || !strings.Contains(said, c.said) {
				t.Errorf("said %q", said)
			}
		})
	}
}

// A slot that is no number is one that the Runner did not give.
func TestSlotIsTheRunners(t *testing.T) {
	for slot, want := range map[string]bool{"0": true, "17": true, "": false, "-1": false, "7=x": false, "99999999999999999999": false} {
		f, said := foldersOf(t, config.Default(), `{"id":1,"job_info":{"project_id":2}}`, map[string]string{"CI_CONCURRENT_PROJECT_ID": slot})
		if f.KeepBuilds != want || (said == "") != want {
			t.Errorf("%q: kept %t, said %q", slot, f.KeepBuilds, said)
		}
	}
}

// What is cleared is nowhere but in the builds folder, and where the Runner's scripts
// put file variables, wherever the author says that the project is.
func TestTemporaryFolder(t *testing.T) {
	for _, c := range []struct{ project, runners, job, want string }{
		{"/builds/group/project", "", `{}`, "/builds/group/project.tmp"},
		{"/builds", "", `{}`, ""},
		{"/etc/../builds/a", "", `{}`, "/builds/a.tmp"},
		{"/builds/../etc", "", `{}`, ""},
		{"/buildsx/a", "", `{}`, ""},
		{"relative", "", `{}`, ""},
		{"/builds/group/project", "/builds/group/project.tmp", `{}`, "/builds/group/project.tmp"},
		{"/builds/evil", "/builds/group/project.tmp", `{"variables":[{"key":"CI_PROJECT_DIR","value":"/builds/evil"}]}`, "/builds/group/project.tmp"},
		{"/builds/go/src/x", "/builds/go/src/x.tmp", `{"variables":[{"key":"GIT_CLONE_PATH","value":"/builds/go/src/x"}]}`, "/builds/go/src/x.tmp"},
		{"/builds/a", "/builds.tmp", `{}`, ""},
		{"/builds/a", "/builds/../etc/x.tmp", `{}`, ""},
	} {
		job := strings.Replace(c.job, "{", `{"id":1,"job_info":{"project_id":2},`, 1)
		vars := map[string]string{"CI_PROJECT_DIR": c.project}
		if c.runners != "" {
			vars["RUNNER_TEMP_PROJECT_DIR"] = c.runners
		}
		f, _ := foldersOf(t, config.Default(), strings.Replace(job, ",}", "}", 1), vars)
		if f.Temp != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.project, c.runners, f.Temp, c.want)
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
			j, err := contract.ParseJob([]byte(c.job))
			if err != nil {
				t.Fatal(err)
			}
			h, err := helper(&contract.Call{Job: j, Variables: map[string]string{"GIT_STRATEGY": c.strategy}}, config.Default())
			if err != nil || h.NeedsGit != c.git || h.NeedsTool != c.tool {
				t.Errorf("got %+v, %v", h, err)
			}
		})
	}
}

func TestHostileHelperImage(t *testing.T) {
	const official = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-"
	asked := func() map[string]string {
		return map[string]string{"CI_RUNNER_VERSION": "18.4.1", "CI_RUNNER_REVISION": "98f3339d"}
	}
	unknown := func() map[string]string { return nil }
	const set = `"variables":[{"key":"CI_RUNNER_VERSION","value":"x"},{"key":"CI_RUNNER_REVISION","value":"x"}]`
	for _, c := range []struct {
		configured, version, want string
		payload                   string
		ask                       func() map[string]string
	}{
		{"", "19.3.0", official + "v19.3.0", "", nil},
		{"", "17.9.1", official + "v17.9.1", "", nil},
		{"", "18.5.0~pre.20.g1234abcd", official + "v18.5.0", "", nil},
		{"", "development version", official + "latest", "", nil},
		{"", "", official + "latest", "", nil},
		{"", "x/evil:1.2.3", official + "latest", "", nil},
		{"own:x86_64-v${CI_RUNNER_VERSION}", "19.3.0", "own:x86_64-v19.3.0", "", nil},
		{"own:$CI_RUNNER_VERSION", "1@sha256:0/../$(id)\n", "own:1sha2560..id", "", nil},
		{"own:1", "", "own:1", "", nil},
		// An old helper of the author's choice.
		{"", "13.0.0", official + "v18.4.1", set, asked},
		{"", "13.0.0", official + "v18.4.1", `"secrets":{"CI_RUNNER_VERSION":{"file":false}}`, asked},
		{"", "13.0.0", official + "latest", set, unknown},
		{"own:${CI_RUNNER_VERSION}-$CI_RUNNER_REVISION", "13.0.0", "own:18.4.1-98f3339d", set, asked},
		{"own:1", "13.0.0", "own:1", set, nil},
	} {
		j, err := contract.ParseJob([]byte("{" + c.payload + "}"))
		if err != nil {
			t.Fatal(err)
		}
		ask := c.ask
		if ask == nil {
			ask = func() map[string]string { t.Error("the Runner's program is asked"); return nil }
		}
		call := &contract.Call{Job: j, Variables: map[string]string{"CI_RUNNER_VERSION": c.version}}
		if got := helperImage(call, c.configured, ask); strings.Replace(got, "arm64", "x86_64", 1) != c.want {
			t.Errorf("%q with %q and %s: got %q, want %q", c.configured, c.version, c.payload, got, c.want)
		}
	}
}

func TestCacheMountsAreKeptOnRequest(t *testing.T) {
	cfg := config.Default()
	const job = `{"id":1,"job_info":{"project_id":2},"cache":[{"key":"main-protected"}]}`
	if f, _ := foldersOf(t, cfg, job, nil); f.KeepCacheMounts {
		t.Errorf("%+v", f)
	}
	cfg.Storage.CacheMounts = "project"
	// A job's author may choose a cache key, and shall not choose protection by it.
	if f, _ := foldersOf(t, cfg, job, map[string]string{"CI_CONCURRENT_PROJECT_ID": "0"}); !f.KeepCacheMounts || f.Protected {
		t.Errorf("%+v", f)
	}
	if f, _ := foldersOf(t, cfg, `{"id":1,"job_info":{"project_id":2},"git_info":{"repo_url":"https://try.invalid/a/b.git"}}`, nil); f.KeepCacheMounts {
		t.Errorf("%+v", f)
	}
}

// The storage volume is kept for jobs that cannot be confused with others.
func TestKeepStorage(t *testing.T) {
	keeping := config.Default()
	keeping.Storage.Keep = "project"
	slot := map[string]string{"CI_CONCURRENT_PROJECT_ID": "0"}
	with := func(name, value string) map[string]string {
		return map[string]string{"CI_CONCURRENT_PROJECT_ID": "0", name: value}
	}
	const own = `{"job_info":{"project_id":2},"variables":[` + predefined + `,{"key":"CI_MERGE_REQUEST_SOURCE_PROJECT_ID","value":"2"}]}`
	for name, c := range map[string]struct {
		cfg       *config.Config
		job       string
		variables map[string]string
		want      bool
		said      string
	}{
		"never":                    {config.Default(), `{}`, slot, false, ""},
		"project":                  {keeping, `{}`, slot, true, ""},
		"fresh":                    {keeping, `{}`, with("EXECUTOR_STORAGE", "fresh"), false, ""},
		"no slot":                  {keeping, `{}`, nil, false, "gives no slot"},
		"a slot of its own choice": {keeping, `{"variables":[{"key":"CI_CONCURRENT_PROJECT_ID","value":"0"}]}`, slot, false, "sets CI_CONCURRENT_PROJECT_ID itself"},
		"an own merge request":     {keeping, own, slot, true, ""},
		"a fork's merge request":   {keeping, `{"job_info":{"project_id":2},"variables":[{"key":"CI_MERGE_REQUEST_SOURCE_PROJECT_ID","value":"3"}]}`, slot, false, "another project"},
		"a fork that denies it": {keeping, `{"job_info":{"project_id":2},"variables":[{"key":"CI_MERGE_REQUEST_SOURCE_PROJECT_ID","value":"3"},{"key":"CI_MERGE_REQUEST_SOURCE_PROJECT_ID","value":"2"}]}`,
			slot, false, "another project"},
		"doubtful protection": {keeping, `{"git_info":{"protected":false},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}]}`, slot, false, "counts as unprotected"},
	} {
		f, said := foldersOf(t, c.cfg, c.job, c.variables)
		if f.KeepStorage != c.want || !strings.Contains(said, c.said) {
			t.Errorf("%s: %+v, said %q", name, f, said)
		}
	}
	c := &contract.Call{Job: &contract.Job{}, Variables: map[string]string{"EXECUTOR_STORAGE": "old", "CI_CONCURRENT_PROJECT_ID": "0"}}
	if _, err := folders(c, keeping, job.Identity{}, logrus.New()); err == nil || !strings.Contains(err.Error(), "EXECUTOR_STORAGE=old is not possible") && !strings.Contains(err.Error(), `EXECUTOR_STORAGE="old" is not possible`) {
		t.Error(err)
	}
}
