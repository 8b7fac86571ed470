package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// secretOf is a job of the project with a file variable, which its script reads.
func secretOf(t testing.TB, project int64) runner.Job {
	j := harness.Job(t, "bookworm", "cat $SECRET")
	j.ProjectID = project
	j.Variables = append(j.Variables, runner.Variable{Key: "SECRET", Value: "s3cret-of-a-killed-job", File: true})
	return j
}

// killed plays a job up to its script; then the Runner has no time for more than its
// cleanup.
func killed(t testing.TB, p *harness.Place, j runner.Job) {
	t.Helper()
	s := p.Ready(t, j)
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil || !call.Output.Has("s3cret-of-a-killed-job") {
		t.Fatal(call)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Fatal(call)
	}
}

// Nobody who gets the builds folder after a killed job finds its file variables: no
// entrypoint, service or script, whatever the author set or an earlier job left.
func TestHostileFileVariables(t *testing.T) {
	t.Parallel()
	const look = "grep -rs s3cret-of-a-killed-job /builds /cache || echo nothing is found"
	for name, c := range harness.SomeOf(4, map[string]struct {
		plant  string // the script of an author's earlier job
		victim func(*runner.Job)
		thief  func(*runner.Job)
	}{
		"an ordinary job": {},
		"a job that says where its project is": {thief: func(j *runner.Job) {
			*j = harness.With(*j, runner.Var("CI_PROJECT_DIR", "/builds/elsewhere"))
		}},
		"a job whose project was renamed":  {thief: func(j *runner.Job) { j.ProjectPath = "another/name" }},
		"a link where the secrets will be": {plant: "rm -rf /builds/group && mkdir -p /builds/trap && ln -s trap /builds/group"},
		"a victim that says where its project is": {victim: func(j *runner.Job) {
			*j = harness.With(*j, runner.Var("CI_PROJECT_DIR", "/builds/elsewhere"))
		}},
		"a service, before the job's container starts": {thief: func(j *runner.Job) {
			j.Services = []runner.Image{{Name: j.Image.Name, Alias: "s", PullPolicies: []string{"if-not-present"},
				Command: []string{"sh", "-c", "cp -a /builds /cache/stolen; sleep 1000"}}}
		}},
		"an entrypoint, before prepare has looked": {thief: func(j *runner.Job) {
			j.Image.Entrypoint = []string{"sh", "-c", `cp -a /builds /cache/stolen; exec "$@"`, "sh"}
		}},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true})
			project := harness.NewProject()
			if c.plant != "" {
				j := harness.Job(t, "bookworm", c.plant)
				j.ProjectID = project
				p.Succeed(t, j)
			}
			victim := secretOf(t, project)
			if c.victim != nil {
				c.victim(&victim)
			}
			killed(t, p, victim)
			thief := harness.Job(t, "bookworm", "sleep 0.5", look)
			thief.ProjectID = project
			if c.thief != nil {
				c.thief(&thief)
			}
			harness.WantLines(t, p.Succeed(t, thief), "nothing is found")
		})
	}
}

// Without the Runner's payload, variables of the job's author name the job. Nothing is
// prepared or run by them, and no other process's job is cleaned up.
func TestHostileVariablesNameAnotherJob(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	s := p.Ready(t, harness.Job(t, "bookworm", "echo still here"))
	last, err := s.Processes()[len(s.Processes())-1].Wait(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, kv := range last.Env {
		if !strings.HasPrefix(kv, "JOB_RESPONSE_FILE=") {
			environ = append(environ, kv)
		}
	}
	driver := func(args []string, more ...string) (string, int) {
		c := exec.Command(harness.World.Binary, append(args, more...)...)
		c.Env, c.Dir = environ, p.Dir
		out, _ := c.CombinedOutput()
		return string(out), c.ProcessState.ExitCode()
	}
	script := filepath.Join(p.Dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho taken over\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, call := range [][]string{p.Runner.Driver.PrepareArgs, append(append([]string{}, p.Runner.Driver.RunArgs...), script, "build_script")} {
		out, code := driver(call)
		if code != 2 || !strings.Contains(out, "GitLab Runner 14.1 and newer give a payload") || strings.Contains(out, "taken over") {
			t.Errorf("%v: exit %d\n%s", call, code, out)
		}
	}

	// A cleanup that the job's own Runner did not start.
	result := filepath.Join(p.Dir, "result")
	c := exec.Command("setsid", append([]string{"--fork", "sh", "-c", `"$@" >"$0.part" 2>&1; echo "exit $?" >>"$0.part"; mv "$0.part" "$0"`, result, harness.World.Binary}, p.Runner.Driver.CleanupArgs...)...)
	c.Env, c.Dir = environ, p.Dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var text []byte
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if text, err = os.ReadFile(result); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cleanup does not end")
		}
	}
	want := fmt.Sprintf("is driven by process %d, which did not start this cleanup", os.Getpid())
	if !strings.Contains(string(text), want) || !strings.Contains(string(text), "exit 2") {
		t.Errorf("no %q in\n%s", want, text)
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil || !call.Output.Has("still here") {
		t.Error(call)
	}
	// The Runner's own, which has lost the payload, goes by the variables.
	if out, code := driver(p.Runner.Driver.CleanupArgs); code != 0 || !strings.Contains(out, "the job is identified by its variables") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if found, err := harness.World.Engine.Containers(t.Context(), "io.gitlab-sysbox-executor.job="+strconv.FormatInt(s.Job.ID, 10)); err != nil || len(found) > 0 {
		t.Errorf("left: %v, %v", found, err)
	}
}
