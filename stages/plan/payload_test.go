package plan

import (
	"cmp"
	"encoding/json"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/integration/heap"
	"gitlab-sysbox-executor/stages/contract"
)

// Whatever a payload says: a job's names are numbers and a hash, no variable changes
// them, and no contradiction is protected or kept.
func FuzzFolders(f *testing.F) {
	f.Add([]byte(payload))
	f.Add([]byte(`{"image":{"executor_opts":{"docker":{"user":1e3}}}}`))
	f.Add([]byte(`{"git_info":{"repo_url":"::"}}`))
	f.Add([]byte(`{"id":9223372036854775807,"job_info":{"project_id":1},"variables":[{},null],"services":[{"command":null}],"secrets":{"":null}}`))
	f.Add([]byte(`{"id":1,"job_info":{"project_id":2},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}],"Variables":[{"key":"CI_JOB_ID","value":"1"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		checkPayload(t, text)
	})
}

// The same with variables, a secret and a word on protection of the author's choice.
func FuzzTrusted(f *testing.F) {
	f.Add("CI_COMMIT_REF_PROTECTED", "true", "CI_COMMIT_REF_PROTECTED", "false", "SECRET", "true")
	f.Add("CI_PROJECT_ID", "4711", "CI_RUNNER_ID=", "1", "CI_RUNNER_ID", "null")
	f.Add("CI_JOB_ID", "2046", "CI_COMMIT_REF_PROTECTED", "true", "CI_COMMIT_REF_PROTECTED", "null")
	f.Add("GIT_CLONE_PATH", "/builds/../x", "CI_CONCURRENT_PROJECT_ID", "0", "CI_PROJECT_DIR", "false")
	f.Add("RUNNER_TEMP_PROJECT_DIR", "/builds/x", "CI_COMMIT_REF_PROTECTED", "", "", "")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2, secret, protected string) {
		defer heap.Bounded(t)()
		git := map[string]any{}
		if protected == "true" || protected == "false" {
			git["protected"] = protected == "true"
		}
		text, err := json.Marshal(map[string]any{
			"id": 2046, "job_info": map[string]any{"project_id": 42}, "git_info": git,
			"variables": []map[string]any{{"key": "CI_JOB_ID", "value": "2046"}, {"key": key1, "value": value1}, {"key": key2, "value": value2}},
			"secrets":   map[string]any{secret: map[string]any{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !checkPayload(t, text) {
			t.Errorf("%s is no payload", text)
		}
	})
}

var noLog = func() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}()

var jobName = regexp.MustCompile(`^gsx-[0-9a-f]{8}-p[1-9][0-9]*-j[1-9][0-9]*$`)

// checkPayload tells whether text is a job's payload, and what is wrong with what is
// made of it.
func checkPayload(t *testing.T, text []byte) bool {
	t.Helper()
	j, err := contract.ParseJob(text)
	if err != nil {
		return false
	}
	hostile := map[string]string{
		"CI_JOB_ID": "7", "CI_PROJECT_ID": "7", "CI_RUNNER_ID": "7", "CI_CONCURRENT_PROJECT_ID": "7", "CI_COMMIT_REF_PROTECTED": "true",
		"CI_PROJECT_DIR": "/builds/x", "CI_REPOSITORY_URL": "https://evil.example/x.git",
	}
	for _, v := range j.Variables { // as the Runner hands them over
		name, rest, cut := strings.Cut(v.Key, "=")
		if cut {
			rest += "="
		}
		hostile[name] = rest + v.Value
	}
	id, err := (&contract.Call{Job: j}).Identity()
	again, errAgain := (&contract.Call{Job: j, Variables: hostile}).Identity()
	if id != again || (err == nil) != (errAgain == nil) {
		t.Errorf("variables make %+v of %+v", again, id)
	}
	if err != nil {
		return false
	}
	if name := id.Name(); !jobName.MatchString(name) || id.JobID != j.ID || id.ProjectID != j.Info.ProjectID || id.RunnerID < 0 {
		t.Errorf("%+v has the name %q", id, name)
	}
	keeping := config.Default()
	keeping.Storage.Keep = "project"
	folders, err := folders(&contract.Call{Job: j, Variables: hostile}, keeping, id, noLog)
	if err != nil {
		return false
	}
	if temp := folders.Temp; temp != "" && (!strings.HasPrefix(temp, "/builds/") || path.Clean(temp) != temp) {
		t.Errorf("what is cleared is %q", temp)
	}
	occurs := func(name string, allowed func(string) bool) {
		for _, v := range j.Variables {
			if key, _, _ := strings.Cut(v.Key, "="); key == name && !allowed(v.Value) {
				t.Errorf("%s=%q, and %+v", v.Key, v.Value, folders)
			}
		}
		for key := range j.Secrets {
			if key, _, _ := strings.Cut(key, "="); key == name {
				t.Errorf("the secret %q, and %+v", key, folders)
			}
		}
	}
	if folders.Protected {
		occurs("CI_COMMIT_REF_PROTECTED", func(value string) bool { return value == "true" })
		if p := j.Git.Protected; p != nil && !*p {
			t.Error("a job that is not protected counts as such")
		}
	}
	if folders.KeepBuilds || folders.KeepCache {
		occurs("CI_PROJECT_ID", func(value string) bool { return value == strconv.FormatInt(id.ProjectID, 10) })
		first := ""
		occurs("CI_COMMIT_REF_PROTECTED", func(value string) bool {
			first = cmp.Or(first, value, "none")
			return value == first || value == "" && first == "none"
		})
	}
	if folders.KeepBuilds {
		for _, name := range []string{"CI_CONCURRENT_PROJECT_ID", "CI_PROJECT_DIR", "GIT_CLONE_PATH", "RUNNER_TEMP_PROJECT_DIR"} {
			occurs(name, func(string) bool { return false })
		}
	}
	return true
}
