package removal

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// killable is the product with the test hook that kills it at a journal's write.
var killable = sync.OnceValues(func() (string, error) {
	path := filepath.Join(harness.World.Dir, "killable")
	build := exec.Command("go", "build", "-tags", "gsxtest", "-o", path, ".")
	build.Dir, build.Env = harness.World.Repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// killing is the place's Runner with a driver that dies at the n-th point: before
// and after each write of its journal.
func killing(t *testing.T, p *harness.Place, n int) *harness.Place {
	t.Helper()
	path, err := killable()
	if err != nil {
		t.Fatal(err)
	}
	k := *p
	k.Runner.Driver.Path = path
	k.Runner.Env = append(k.Runner.Env[:len(k.Runner.Env):len(k.Runner.Env)], fmt.Sprintf("GSX_TEST_KILL_AT_WRITE=%d", n))
	return &k
}

func killMatrixJob(t *testing.T) runner.Job {
	j := harness.Job(t, "bookworm", "true")
	j.ID = time.Now().UnixNano() % 1_000_000_000
	j.Services = []runner.Image{{Name: j.Image.Name, Alias: "side", Command: []string{"sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"}, PullPolicies: []string{"if-not-present"}}}
	return j
}

// Prepare is killed at every write of its journal; one cleanup then
// leaves nothing.
func TestKillMatrixPrepare(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	n, step := 1, harness.Step(3)
	for ; ; n += step {
		j := killMatrixJob(t)
		call := killing(t, p, n).Session(t, j).Prepare(t.Context())
		harness.WantCleanup(t, p.Session(t, j))
		compare()
		if t.Failed() {
			t.Fatalf("prepare was killed at point %d\n%s", n, call)
		}
		if call.Err == nil {
			break
		}
		if call.Signal != syscall.SIGKILL {
			t.Fatal(call)
		}
	}
	if n < 10 {
		t.Errorf("prepare passed only %d points", n-1)
	}
	t.Logf("prepare was killed at %d points, each %d after the other; each time one cleanup left nothing", (n-1)/step, step)
}

// An engine that is killed while it makes a volume has it without labels when it
// is back: what the journal says was asked for is removed all the same.
func TestVolumesThatLostTheirLabels(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	volumes := func(args ...string) error {
		_, err := harness.Command(time.Minute, "docker", append([]string{"-H", harness.World.Engine.Host, "volume"}, args...)...)
		return err
	}
	lost := map[string]bool{}
	for n := 1; ; n++ {
		j := killMatrixJob(t)
		call := killing(t, p, n).Session(t, j).Prepare(t.Context())
		if call.Err == nil {
			harness.WantCleanup(t, p.Session(t, j))
			break
		}
		journals, err := filepath.Glob(filepath.Join(p.StateDir, "journal", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range journals {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			content, _, err := journal.Read(filepath.Dir(path), name)
			if err != nil {
				t.Fatal(err)
			}
			last := len(content.Resources) - 1
			if last < 0 || content.Resources[last].Kind != journal.Volume || content.Resources[last].Answered {
				continue
			}
			volume := content.Resources[last].Name
			if volumes("inspect", volume) == nil {
				continue // the driver came to ask for it
			}
			if err := volumes("create", volume); err != nil {
				t.Fatal(err)
			}
			lost[strings.TrimPrefix(volume, name)] = true
		}
		harness.WantCleanup(t, p.Session(t, j))
		compare()
		if t.Failed() {
			t.Fatalf("prepare was killed at point %d\n%s", n, call)
		}
	}
	if len(lost) < 2 {
		t.Errorf("only of %v", lost)
	}
	t.Logf("removed without labels: the job's volume with the suffix %v", slices.Sorted(maps.Keys(lost)))
}

// The same for cleanup, of which the second then leaves nothing.
func TestKillMatrixCleanup(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	n, step := 1, harness.Step(3)
	for ; ; n += step {
		j := killMatrixJob(t)
		s := p.Session(t, j)
		if call := s.Prepare(t.Context()); call.Err != nil {
			t.Fatal(call)
		}
		call := killing(t, p, n).Session(t, j).Cleanup()
		if call.Signal == syscall.SIGKILL {
			harness.WantCleanup(t, s)
		}
		compare()
		if t.Failed() {
			t.Fatalf("cleanup was killed at point %d\n%s", n, call)
		}
		if call.Err == nil {
			break
		}
		if call.Signal != syscall.SIGKILL {
			t.Fatal(call)
		}
	}
	if n < 10 {
		t.Errorf("cleanup passed only %d points", n-1)
	}
	t.Logf("cleanup was killed at %d points, each %d after the other; each time the next one left nothing", (n-1)/step, step)
}

// The driver is killed in the middle of a build, whose mounts and
// processes are all there; one cleanup then leaves nothing.
func TestKillMatrixRun(t *testing.T) {
	t.Parallel()
	context := harness.BuildScript()[0] + "\n" + harness.Lines(`echo 'RUN echo rea""dy; sleep 3600' >>context/Dockerfile`)
	for name, c := range map[string]struct{ image, build string }{
		"Buildah": {"buildah", "buildah build context"},
		"Podman":  {"buildah", "podman build context"},
		"BuildKit": {"buildkit", harness.Lines(
			"buildkitd --root /var/lib/containers/buildkit --oci-worker-snapshotter=native --oci-worker-no-process-sandbox --oci-worker-net=host >buildkitd.log 2>&1 &",
			"for i in $(seq 100); do buildctl debug workers >/dev/null 2>&1 && break; sleep 0.1; done",
			"buildctl build --progress=plain --frontend=dockerfile.v0 --local context=context --local dockerfile=context 2>&1 | sed -u 's/^#[0-9]* [0-9.]* //'",
			"tail -n 20 buildkitd.log",
		)},
	} {
		t.Run(name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.Job(t, c.image, context, c.build)
			compare := p.Unchanged(t)
			s := p.Ready(t, j)
			process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
			if _, err := process.Output().WaitFor("ready", 2*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := process.Kill(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			harness.WantCleanup(t, s)
			t.Logf("cleanup took %s", time.Since(began).Round(time.Millisecond))
			compare()
		})
	}
}
