package contract

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
)

// payload is a job as GitLab sends it, as far as it matters here.
const payload = `{
  "id": 2046, "token": "glcbt-secret", "allow_git_fetch": true,
  "job_info": {"name": "release", "stage": "test", "pipeline_id": 102046, "project_id": 42, "project_name": "project"},
  "git_info": {"repo_url": "https://gitlab-ci-token:glcbt-secret@gitlab.example.com:8443/group/project.git", "ref": "main", "protected": true},
  "variables": [{"key": "CFG", "value": "content", "file": true}, {"key": "A", "value": "b", "public": true}, {"key": "CI_RUNNER_ID", "value": "3", "public": true}],
  "image": {"name": "debian:$TAG", "entrypoint": [""], "pull_policy": ["if-not-present"], "executor_opts": {"docker": {"platform": "arm64", "user": 1000}}},
  "services": [{"name": "redis:7", "alias": "cache,store", "command": ["redis-server"], "variables": [{"key": "X", "value": "y"}]}],
  "features": {"new": {"in": "some later version"}}
}`

func writePayload(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "response.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIdentityComesFromThePayload(t *testing.T) {
	c, err := ReadCall([]string{
		"JOB_RESPONSE_FILE=" + writePayload(t, payload),
		"CUSTOM_ENV_CI_JOB_ID=1", "CUSTOM_ENV_CI_PROJECT_ID=1", // the job's author may write these
		"CUSTOM_ENV_CI_RUNNER_ID=5",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Identity()
	want := job.Identity{Server: "gitlab.example.com:8443", RunnerID: 3, ProjectID: 42, PipelineID: 102046, JobID: 2046}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// The variables are the author's to override. Without a payload, prepare and run
// refuse to work, and cleanup alone goes by the variables.
func TestHostileIdentityWithoutAPayload(t *testing.T) {
	for _, tc := range []struct {
		name, job, project string
		ok                 bool // for cleanup
	}{
		{"numbers", "2046", "42", true},
		{"nothing", "", "", false},
		{"a path", "../../etc", "42", false},
		{"a sign", "-1", "42", false},
		{"too large", "99999999999999999999", "42", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := ReadCall([]string{
				"CUSTOM_ENV_CI_JOB_ID=" + tc.job, "CUSTOM_ENV_CI_PROJECT_ID=" + tc.project,
				"CUSTOM_ENV_CI_REPOSITORY_URL=https://gitlab-ci-token:t@gitlab.example.com:8443/g/p.git",
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Identity(); err == nil || !strings.Contains(err.Error(), "GitLab Runner 14.1") || fault.ClassOf(err) != fault.System {
				t.Errorf("prepare and run: %+v, %v", got, err)
			}
			var log bytes.Buffer
			got, proven, err := c.CleanupIdentity(&logrus.Logger{Out: &log, Formatter: &logrus.TextFormatter{}, Level: logrus.InfoLevel})
			if (err == nil) != tc.ok || proven {
				t.Fatalf("cleanup: %+v, proven %t, %v", got, proven, err)
			}
			if tc.ok && (got.JobID != 2046 || got.ProjectID != 42 || got.Server != "gitlab.example.com:8443" || log.Len() == 0) {
				t.Errorf("cleanup: %+v, said %q", got, log.String())
			}
		})
	}
}

// A payload that lacks a number is none that GitLab sent: nothing gives way to the
// variables.
func TestIdentityWithoutItsNumbers(t *testing.T) {
	for _, text := range []string{`{}`, `{"id": 0, "job_info": {"project_id": 42}}`, `{"id": 2046}`, `{"id": -1, "job_info": {"project_id": 42}}`, `{"id": 2046, "job_info": {"project_id": -2}}`, `null`} {
		c, err := ReadCall([]string{"JOB_RESPONSE_FILE=" + writePayload(t, text), "CUSTOM_ENV_CI_JOB_ID=1", "CUSTOM_ENV_CI_PROJECT_ID=1"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Identity(); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
		if got, _, err := c.CleanupIdentity(logrus.New()); err == nil {
			t.Errorf("cleanup, %s: %+v", text, got)
		}
	}
}

// The Runner's number is in a label and in a volume's name.
func TestRunnerOfAJob(t *testing.T) {
	for variables, want := range map[string]int64{
		`[]`:                                   0,
		`[{"key":"CI_RUNNER_ID","value":"3"}]`: 3,
		`[{"key":"CI_RUNNER_ID","value":"3"},{"key":"CI_RUNNER_ID","value":"3"}]`: 3,
		`[{"key":"CI_RUNNER_ID","value":"3"},{"key":"CI_RUNNER_ID","value":"4"}]`: 0,
		`[{"key":"CI_RUNNER_ID","value":"-3"}]`:                                   0,
		`[{"key":"CI_RUNNER_ID","value":"x"}]`:                                    0,
	} {
		j, err := ParseJob([]byte(`{"id":1,"job_info":{"project_id":2},"variables":` + variables + `}`))
		if err != nil {
			t.Fatal(err)
		}
		c := &Call{Job: j, Variables: map[string]string{"CI_RUNNER_ID": "4"}}
		if got, err := c.Identity(); err != nil || got.RunnerID != want {
			t.Errorf("%s: %d, %v", variables, got.RunnerID, err)
		}
	}
}

// What is there goes even when the payload is there no more; nothing else is done
// without it. What the job's author has a hand in must not lead to other jobs.
func TestCleanupIdentityWithoutThePayload(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	wrong := writePayload(t, `{"image": {"executor_opts": {"docker": {"user": 1.5}}}}`)
	numbers := []string{"CUSTOM_ENV_CI_JOB_ID=2046", "CUSTOM_ENV_CI_PROJECT_ID=42", "CUSTOM_ENV_CI_REPOSITORY_URL=https://gitlab.example.com:8443/g/p.git"}
	for _, tc := range []struct {
		name, payload string
		numbers, ok   bool
		told          string
	}{
		{"gone", gone, true, true, gone},
		{"gone, and no variables", gone, false, false, gone},
		{"wrong", wrong, true, false, ""},
		{"there", writePayload(t, payload), true, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environ := []string{"JOB_RESPONSE_FILE=" + tc.payload}
			if tc.numbers {
				environ = append(environ, numbers...)
			}
			c, err := ReadCall(environ)
			if err != nil {
				if tc.ok {
					t.Error(err)
				}
				return
			}
			var log bytes.Buffer
			got, proven, err := c.CleanupIdentity(&logrus.Logger{Out: &log, Formatter: &logrus.TextFormatter{}, Level: logrus.InfoLevel})
			if (err == nil) != tc.ok || tc.ok && got.Name() != (job.Identity{Server: "gitlab.example.com:8443", ProjectID: 42, JobID: 2046}).Name() {
				t.Errorf("got %+v, %v", got, err)
			}
			if proven != (tc.told == "") {
				t.Errorf("proven: %t", proven)
			}
			if (log.Len() > 0) != (tc.told != "") || strings.Count(log.String(), "\n") > 1 || !strings.Contains(log.String(), tc.told) {
				t.Errorf("told %q", log.String())
			}
			if _, err := c.Identity(); (err == nil) != (tc.told == "") {
				t.Errorf("prepare and run: %v", err)
			}
		})
	}
}

func TestReadCall(t *testing.T) {
	c, err := ReadCall([]string{
		"BUILD_FAILURE_EXIT_CODE=11", "SYSTEM_FAILURE_EXIT_CODE=12", "BUILD_EXIT_CODE_FILE=/tmp/code",
		"HOST_SECRET=s", "TMPDIR=/tmp/custom-executor123", "CUSTOM_ENV_A=b=c\nd", "CUSTOM_ENV_TMPDIR=/some/path",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.BuildFailure != 11 || c.SystemFailure != 12 || c.ExitCodeFile != "/tmp/code" {
		t.Errorf("got %+v", c)
	}
	if len(c.Variables) != 2 || c.Variables["A"] != "b=c\nd" || c.Variables["TMPDIR"] != "/some/path" {
		t.Errorf("the job's variables are %v", c.Variables)
	}
}

func TestExitCodesHaveDefaults(t *testing.T) {
	for _, env := range [][]string{nil, {"BUILD_FAILURE_EXIT_CODE=", "SYSTEM_FAILURE_EXIT_CODE=x"}} {
		if b, s := ExitCodes(env); b != 1 || s != 2 {
			t.Errorf("%v: got %d and %d", env, b, s)
		}
	}
}

func TestUserIsAStringOrANumber(t *testing.T) {
	for text, want := range map[string]string{`1000`: "1000", `"1000:1000"`: "1000:1000", `"app"`: "app", `""`: "", `null`: ""} {
		j, err := ParseJob([]byte(`{"image":{"executor_opts":{"docker":{"user":` + text + `}}}}`))
		if err != nil || string(j.Image.Options.Docker.User) != want {
			t.Errorf("%s: got %v, %v", text, j, err)
		}
	}
	for _, text := range []string{`1.5`, `[]`, `{}`, `true`} {
		if _, err := ParseJob([]byte(`{"image":{"executor_opts":{"docker":{"user":` + text + `}}}}`)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
