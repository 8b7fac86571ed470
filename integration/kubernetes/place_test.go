package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// place is one test's own configuration, state folder and Runner.
type place struct {
	dir    string
	config string
	runner.Runner
}

// newPlace writes a configuration; further lines are added to it, or replace those of the same key.
func newPlace(t testing.TB, further ...string) *place {
	t.Helper()
	dir, err := os.MkdirTemp(world.dir, "test-")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{dir: dir, config: filepath.Join(dir, "config.toml")}
	lines := []string{
		`backend = "kubernetes"`,
		fmt.Sprintf("state_dir = %q", filepath.Join(dir, "state")),
		fmt.Sprintf("kubernetes.kubeconfig = %q", world.env["KUBECONFIG_EXECUTOR"]),
		fmt.Sprintf("kubernetes.runtime_class = %q", world.env["RUNTIME_CLASS"]),
		fmt.Sprintf("kubernetes.agent_image = %q", world.env["AGENT_IMAGE"]),
		`kubernetes.start_timeout = "1m"`,
		`job.pull_policy = ["if-not-present"]`,
		// Mounts need this capability under runc. Sysbox gives it to each container, in the user namespace.
		`hardening.cap_add = ["SYS_ADMIN"]`, `hardening.allow_unsafe = true`,
		`storage.size = "4GiB"`,
	}
	key := func(line string) string { k, _, _ := strings.Cut(line, " "); return k }
	for _, line := range further {
		lines = slices.DeleteFunc(lines, func(l string) bool { return key(l) == key(line) })
	}
	if err := os.WriteFile(p.config, []byte(strings.Join(append(lines, further...), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.Runner = runner.Runner{
		Driver: runner.NewDriver(world.binary, "--config", p.config), TempRoot: dir, RetryPause: 100 * time.Millisecond,
		GracefulKill: 60 * time.Second, ForceKill: 10 * time.Second, FinishWait: 90 * time.Second, StageTimeout: 5 * time.Minute,
	}
	return p
}

// job is a job without a repository.
func job(script ...string) runner.Job {
	return runner.Job{
		Image: runner.Image{Name: buildahImage}, Variables: []runner.Variable{runner.Var("GIT_STRATEGY", "none")},
		Script: script, Timeout: 5 * time.Minute,
	}
}

// succeed plays a job and wants it to succeed.
func (p *place) succeed(t testing.TB, j runner.Job) *runner.Result {
	t.Helper()
	r := p.Play(j)
	if r.Outcome != runner.Success {
		t.Fatal(r)
	}
	return r
}

// wantNothing wants the namespace and the state folder to be empty soon: the cluster removes what a pod owns after it.
func (p *place) wantNothing(t testing.TB) {
	t.Helper()
	var left []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if left = objects(t); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		t.Errorf("left in the cluster: %q", left)
	}
	for _, folder := range []string{"journal", "jobs"} {
		entries, err := os.ReadDir(filepath.Join(p.dir, "state", folder))
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		for _, e := range entries {
			t.Errorf("left in the state folder: %s/%s", folder, e.Name())
		}
	}
}

// command runs a subcommand of the product and returns its output.
func (p *place) command(t testing.TB, args ...string) string {
	t.Helper()
	out, err := p.try(args...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// open opens a session and takes it to where prepare comes next.
func (p *place) open(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s, err := p.Open(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepared opens a session and prepares the job.
func (p *place) prepared(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s := p.open(t, j)
	if call := s.Prepare(t.Context()); call.Err != nil {
		t.Fatal(call)
	}
	return s
}
