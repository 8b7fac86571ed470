package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/engine"
	"gitlab-sysbox-executor/integration/leftovers"
	"gitlab-sysbox-executor/integration/runner"
)

// Issue 5, 4: the engine is killed and started again in each stage. The job goes
// on, or fails as the system's failure with one line; nothing is left.
func TestEngineIsKilledAndStartedAgain(t *testing.T) {
	for name, flags := range map[string]string{"with live-restore": "--live-restore", "without live-restore": ""} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ENGINE_FLAGS", flags)
			dir := world.engineDir + "-r"
			script := filepath.Join(world.repo, "scripts", "engine.sh")
			start := func() string {
				out, err := command(5*time.Minute, script, "start", dir)
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(string(out)) {
					if host, ok := strings.CutPrefix(strings.TrimSpace(line), "ENGINE_HOST="); ok {
						return host
					}
				}
				t.Fatalf("no host in\n%s", out)
				return ""
			}
			host := start()
			t.Cleanup(func() {
				if _, err := command(2*time.Minute, script, "stop", dir); err != nil {
					t.Error(err)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			if _, err := command(15*time.Minute, filepath.Join(world.repo, "scripts", "image.sh"), "bookworm", host); err != nil {
				t.Fatal(err)
			}
			p := newPlace(t, settings{host: host, other: "[cleanup]\ntimeout = \"1m\""})
			take := func() leftovers.Snapshot {
				found, err := leftovers.Scope{Engine: engine.At(host), EngineDir: dir, StateDirs: []string{p.stateDir}, Driver: world.binary}.Take(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for thing := range found {
					if ofKilledEngine(thing) {
						delete(found, thing)
					}
				}
				return found
			}
			restart := func() {
				text, err := os.ReadFile(filepath.Join(dir, "dockerd.pid"))
				if err != nil {
					t.Fatal(err)
				}
				pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
				if err == nil {
					err = syscall.Kill(pid, syscall.SIGKILL)
				}
				if err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond)
				}
				start()
			}
			restart() // what a first start makes for good is there
			before := take()
			for _, stage := range []string{"prepare", "run", "cleanup"} {
				s := p.session(t, runner.Job{
					Image:     runner.Image{Name: "gsx-test/bookworm:latest", PullPolicies: []string{"if-not-present"}},
					Variables: []runner.Variable{runner.Var("GIT_STRATEGY", "none")},
					Script:    []string{"echo ready; sleep 5; echo done"}, Timeout: 5 * time.Minute,
				})
				interrupt := func(p *runner.Process, after time.Duration) *runner.Call {
					time.Sleep(after)
					restart()
					call, err := p.Wait(3 * time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					return call
				}
				var call *runner.Call
				if stage == "prepare" {
					call = interrupt(s.StartPrepare(), 300*time.Millisecond)
				} else if c := s.Prepare(t.Context()); c.Err != nil {
					t.Fatal(c)
				}
				if stage == "run" {
					for _, step := range []string{runner.StagePrepareScript, runner.StageGetSources} {
						if c := s.Run(t.Context(), step); c.Err != nil {
							t.Fatal(c)
						}
					}
					process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
					if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
						t.Fatal(err)
					}
					call = interrupt(process, 0)
				}
				if stage == "cleanup" {
					call = interrupt(s.StartCleanup(), 50*time.Millisecond)
				}
				errors := strings.Count(call.Output.String(), "ERROR:")
				if call.Exit != 0 && (call.Exit != 2 || errors != 1) {
					t.Errorf("%s: want success, or exit 2 with one line\n%s", stage, call)
				}
				t.Logf("%s, engine killed in %s: exit %d after %s\n%s", name, stage, call.Exit, call.Duration.Round(time.Millisecond), call.Output)
				if c := s.Cleanup(); c.Err != nil {
					t.Error(c)
				}
				// The engine makes its own bridge anew at each start; its shims end in
				// their own time.
				var diff string
				for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(200 * time.Millisecond) {
					if diff = leftovers.Diff(before, take()); diff == "" || time.Now().After(deadline) {
						break
					}
				}
				if diff != "" {
					t.Errorf("%s left behind:\n%s", stage, diff)
				}
			}
		})
	}
}
