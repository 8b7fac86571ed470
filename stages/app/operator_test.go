package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/servicelog"
)

// logged is an App with an operator's log in a file, and both logs.
func logged(t *testing.T, change func(*config.Config)) (a *App, jobs *strings.Builder, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "operator.log")
	c := config.Default()
	c.LogFile = path
	change(c)
	jobs = new(strings.Builder)
	a = &App{Config: c, Log: NewLog(jobs, c.LogLevel), operator: newOperator(c)}
	a.Log.AddHook(a.operator)
	a.Identify(job.Identity{Server: "gitlab.example", RunnerID: 1, ProjectID: 2, PipelineID: 3, JobID: 4}, "prepare")
	return a, jobs, path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// Warnings and errors of a job are in both logs, the operator's with the job's identity; the rest and the
// job's own output are only in the job's.
func TestTheOperatorsLog(t *testing.T) {
	a, jobs, path := logged(t, func(c *config.Config) { c.LogFormat = "json" })
	a.Log.Info("Pulling")
	if text := read(t, path); text != "" {
		t.Errorf("it was opened for nothing: %q", text)
	}
	a.Log.Warn("volume \x1b]0;title\a\nof another")
	a.Log.WithField(servicelog.Verbatim, true).Warn("a service's output")
	Section(a.Log, "gsx_images", "Getting the images")()
	text := read(t, path)
	var line map[string]any
	if err := json.Unmarshal([]byte(text), &line); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	if line["msg"] != `volume \x1b]0;title\a of another` || line["job_id"] != 4.0 || line["project_id"] != 2.0 || line["stage"] != "prepare" || line["level"] != "warning" {
		t.Errorf("%v", line)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	if !strings.Contains(jobs.String(), "Pulling\n") || !strings.Contains(jobs.String(), "a service's output") {
		t.Errorf("%s", jobs)
	}
}

// A cut text names the number of bytes that are missing.
func TestLongTextIsCut(t *testing.T) {
	a, _, path := logged(t, func(*config.Config) {})
	a.Log.Warn(strings.Repeat("é", 1500) + "\nend")
	if text := read(t, path); !strings.Contains(text, "é... (1004 bytes more)") || strings.Contains(text, "end") {
		t.Error(text)
	}
}

func TestDebugCopiesAll(t *testing.T) {
	a, _, path := logged(t, func(c *config.Config) { c.LogLevel = "debug" })
	a.Log.Debug("one")
	a.Log.Info("two")
	if text := read(t, path); strings.Count(text, "\n") != 2 || !strings.Contains(text, `msg=one job_id=4 pipeline_id=3 project_id=2`) {
		t.Error(text)
	}
}

// A job's texts cannot forge a line or a field.
func TestTheLineOfAJob(t *testing.T) {
	j := accounting.Job{
		Identity: job.Identity{Server: "gitlab.example", JobID: 4}, Outcome: accounting.Outcome{Result: accounting.SystemFailure, Class: accounting.Engine},
		Failed: "step_x\nlevel=info msg=forged", By: accounting.ByCleanup, Attempts: 2, Began: time.Unix(1000, 0), Ended: time.Unix(1002, 500_000_000),
		Stages: []accounting.Stage{
			{Stage: "prepare", Seconds: 1.23456, Seen: observe.Seen{
				Image: "debian\" result=success", Digest: "sha256:1", Containers: 3, Pulls: []observe.Pull{{Bytes: 5, Seconds: 1}, {Bytes: 6, Seconds: 2}},
				Steps: []observe.Timed{{Step: observe.Images, Seconds: 0.5}},
			}},
			{Stage: "step_\x1b[2J", Seconds: 1, Seen: observe.Seen{Peak: 7, Retries: 1, Left: map[string]int{"volume": 2}}},
		},
	}
	for format, want := range map[string][]string{
		"text": {
			`level=warning`, `msg="Job ended."`, `result=system_failure`, `class=engine`, `duration_seconds=2.5`, `failed_stage="step_x level=info msg=forged"`,
			`stage_seconds="prepare=1.235 step_\\x1b[2J=1"`, `prepare_step_seconds="images=0.5"`, `image="debian\" result=success"`, `image_digest="sha256:1"`,
			`container_starts=3`, `pulled_bytes=11`, `pull_seconds=3`, `storage_peak_bytes=7`, `teardown_retries=1`, `leftovers=2`, `prepare_attempts=2`, `found_by=cleanup`, `job_id=4`,
		},
		"json": {`"stage_seconds":{"prepare":1.235,"step_\\x1b[2J":1}`, `"image":"debian\" result=success"`, `"duration_seconds":2.5`, `"level":"warning"`},
	} {
		a, jobs, path := logged(t, func(c *config.Config) { c.LogFormat = format })
		a.jobEnded(j)
		text := read(t, path)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %s in %s", w, text)
			}
		}
		if strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || jobs.Len() > 0 {
			t.Errorf("%q, %q", text, jobs)
		}
	}
}

// A log that cannot be written is reported once, to the administrator, and fails nothing.
func TestALogThatCannotBeWritten(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/nonexistent/a/b", fifo, t.TempDir(), "/dev/full"} {
		a, jobs, _ := logged(t, func(c *config.Config) { c.LogFile = path })
		a.Log.Warn("one")
		a.Log.Warn("two")
		if strings.Contains(jobs.String(), "operator") {
			t.Errorf("the job's log has %s", jobs)
		}
		a.WarnOfLostLines()
		a.WarnOfLostLines()
		if n := strings.Count(jobs.String(), "The operator's log (log_file) could not be written"); n != 1 {
			t.Errorf("%s: reported %d times: %s", path, n, jobs)
		}
	}
}

// A section begins and ends as GitLab's documentation shows it.
func TestSection(t *testing.T) {
	var b strings.Builder
	log := NewLog(&b, "info")
	end := Section(log, "gsx_images", "Getting the images")
	log.Info("Pulling")
	end()
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, line)
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], "\x1b[0Ksection_start:") || !strings.HasSuffix(got[0], ":gsx_images\r\x1b[0K\x1b[36;1mGetting the images\x1b[0;m\n") ||
		!strings.HasPrefix(got[2], "\x1b[0Ksection_end:") || !strings.HasSuffix(got[2], ":gsx_images\r\x1b[0K\n") {
		t.Errorf("%q", got)
	}
}
