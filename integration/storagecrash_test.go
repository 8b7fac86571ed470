package integration

import (
	"context"
	"fmt"
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

// mortal is an engine of a test's own, to be killed.
type mortal struct {
	dir  string
	host string
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gsx-e")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e := &mortal{dir, "unix://" + filepath.Join(dir, "docker.sock")}
	t.Cleanup(func() {
		if _, err := command(2*time.Minute, e.script(), "stop", dir); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e.start(t)
	if _, err := command(15*time.Minute, filepath.Join(world.repo, "scripts", "image.sh"), "bookworm", e.host); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *mortal) script() string { return filepath.Join(world.repo, "scripts", "engine.sh") }

func (e *mortal) start(t *testing.T) {
	t.Helper()
	if _, err := command(5*time.Minute, e.script(), "start", e.dir); err != nil {
		t.Fatal(err)
	}
}

func (e *mortal) kill(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "dockerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for syscall.Kill(pid, 0) == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// ofKilledEngine tells what is the engine's own once it was killed: networks that
// have other numbers then, and the layer that Engine 20.10 mounts for a moment
// while it makes a container, and forgets (initMount in its layer store). The
// engine alone knows whose that is; a reboot ends it.
func ofKilledEngine(thing string) bool {
	for _, prefix := range []string{"network bridge ", "network host ", "network none "} {
		if strings.HasPrefix(thing, prefix) {
			return true
		}
	}
	return strings.HasPrefix(thing, "mount ") && strings.Contains(thing, "-init/merged (overlay ")
}

// Issue 4, 3: driver and engine are killed at one moment after the other of
// set-up and removal, the engine is started again: one cleanup leaves no loop
// device, no image, no mount, no container, no volume.
func TestVolumesAfterDriverAndEngineAreKilled(t *testing.T) {
	e := newMortal(t)
	p := newPlace(t, settings{host: e.host, other: "[storage]\nbackend = \"xfs-loop\""})
	j := job(t, "bookworm", "true")
	look := leftovers.Scope{Engine: engine.At(e.host), EngineDir: e.dir, StateDirs: []string{p.stateDir}, Driver: world.binary}
	take := func() leftovers.Snapshot {
		found, err := look.Take(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for thing := range found {
			if ofKilledEngine(thing) || strings.HasPrefix(thing, "process") {
				delete(found, thing)
			}
		}
		return found
	}
	before := take()
	killed := func(when string, s *runner.Session, process *runner.Process, delay time.Duration) (over bool) {
		t.Helper()
		if _, err := process.Wait(delay); err == nil {
			over = true
		}
		if err := process.Kill(); err != nil && !over {
			t.Fatal(err)
		}
		e.kill(t)
		e.start(t)
		if call := s.Cleanup(); call.Err != nil {
			t.Errorf("%s, killed after %s: %v", when, delay, call)
		}
		if diff := leftovers.Diff(before, take()); diff != "" {
			t.Errorf("%s, killed after %s, left behind:\n%s", when, delay, diff)
		}
		return over
	}
	over := false
	for delay := 60 * time.Millisecond; !over && delay < 20*time.Second && !t.Failed(); delay *= 2 {
		s := p.configured(t, j)
		over = killed("set-up", s, s.StartPrepare(), delay)
	}
	for _, delay := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond} {
		s := p.configured(t, j)
		if call := s.Prepare(t.Context()); call.Err != nil {
			t.Fatal(call)
		}
		killed("removal", s, s.StartCleanup(), delay)
	}
}

// The device of a volume cannot be had again through the engine once prepare is
// over: by then its number may be another job's.
func TestAVolumesDeviceIsNotMountedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[storage]\nbackend = \"xfs-loop\""})
	s := p.ready(t, job(t, "bookworm", "true"))
	name := s.Job.ID
	found, err := filepath.Glob(filepath.Join(p.stateDir, "jobs", fmt.Sprintf("*-j%d", name), "storage-device"))
	if err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
}
