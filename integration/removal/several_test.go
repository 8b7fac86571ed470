package removal

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/lyingengine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Two Runners of two GitLab instances on one engine, with a
// state folder each, have jobs of the same numbers in the same slots. The second
// lives in a PID name space of its own, as in a container. Neither's gc, always at
// work, touches the other's jobs, whatever can be seen of their Runner.
func TestTwoRunnersOnOneEngine(t *testing.T) {
	t.Parallel()
	near, far := harness.NewPlace(t, harness.Settings{}), harness.NewPlace(t, harness.Settings{})
	unseen := far.Under("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh")
	project := harness.NewProject()
	var jobs, gcs sync.WaitGroup
	done := make(chan struct{})
	told := map[*harness.Place]*strings.Builder{near: {}, far: {}}
	for p, out := range told {
		gcs.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(200 * time.Millisecond):
					out.WriteString(p.GC(t))
				}
			}
		})
	}
	for p, server := range map[*harness.Place]string{near: "http://127.0.0.1:8929", unseen: "http://127.0.0.2:8929"} {
		for n := range int64(2) {
			j := harness.Job(t, "bookworm", "sleep 2; echo ran")
			j.ID, j.ProjectID, j.PipelineID, j.ServerURL = project+n, project, project, server
			jobs.Go(func() {
				if r := p.Runner.Play(j); r.Outcome != runner.Success || !r.Log.Has("ran") {
					t.Error(r)
				}
			})
		}
	}
	jobs.Wait()
	close(done)
	gcs.Wait()
	for n := range int64(2) {
		if left := append(near.Left(t, project+n), far.Left(t, project+n)...); len(left) > 0 {
			t.Errorf("left of job %d: %v", project+n, left)
		}
	}
	for p, out := range told {
		other := fmt.Sprintf("-p%d-j%d", project, project)
		removed := regexp.MustCompile(fmt.Sprintf(`removed +gsx-\w+-p%d-`, project))
		if text := out.String(); !strings.Contains(text, other) || removed.MatchString(text) {
			t.Errorf("gc of %s saw no job, or removed one:\n%s", p.Dir, text)
		}
	}
	if !strings.Contains(told[near].String(), "used ") {
		t.Errorf("the near gc could see the far Runner:\n%s", told[near])
	}
}

// A configuration that moves to another engine: what the job has on the former is
// neither forgotten nor taken for gone.
func TestEngineThatMoved(t *testing.T) {
	t.Parallel()
	sockets, err := os.MkdirTemp(harness.World.Dir, "moved-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(sockets, "docker.sock")
	engine := strings.TrimPrefix(harness.World.Engine.Host, "unix://")
	former, err := lyingengine.Start(socket, engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { former.Close() })
	p := harness.NewPlace(t, harness.Settings{Host: former.Host})
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s := p.Ready(t, j)
	before := len(p.Left(t, j.ID))

	config := filepath.Join(p.Dir, "config.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	configure := func(host string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), former.Host, host)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	configure(harness.World.Engine.Host)
	if out := p.GC(t); !strings.Contains(out, "it is on the engine at "+former.Host) || strings.Contains(out, "removed  ") {
		t.Errorf("gc: %s", out)
	}
	for _, call := range []*runner.Call{s.Cleanup(), s.Prepare(t.Context())} {
		if call.Exit != 2 || !strings.Contains(call.Output.String(), former.Host) {
			t.Errorf("%s does not name the former engine\n%s", call.Stage, call)
		}
	}
	p.Succeed(t, harness.Job(t, "bookworm", "true")) // others have nothing to do with it
	if left := p.Left(t, j.ID); len(left) < before {
		t.Errorf("of %d things there are %v", before, left)
	}

	// The former engine is away; then it is back.
	configure(former.Host)
	if err := former.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := harness.Command(time.Minute, harness.World.Binary, "gc", "--config", config); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("gc without an engine: %v\n%s", err, out)
	}
	if former, err = lyingengine.Start(socket, engine); err != nil {
		t.Fatal(err)
	}
	harness.WantCleanup(t, s)
	if left := p.Left(t, j.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Two cleanups of one job and three gcs at once, while one of its stages runs.
func TestCleanupsAndGCsBesideRun(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	s, process := p.RunStubborn(t)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { harness.WantCleanup(t, s) })
	}
	for range 3 {
		all.Go(func() { p.GC(t) })
	}
	all.Wait()
	if call, err := process.Wait(30 * time.Second); err != nil || call.Err == nil {
		t.Errorf("the stage, whose container went: %v %v", err, call)
	}
	if left := p.Left(t, s.Job.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
