package storage

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/leftovers"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Driver and engine are killed at one moment after the other of
// set-up and removal, the engine is started again: one cleanup leaves no loop
// device, no image, no mount, no container, no volume.
func TestVolumesAfterDriverAndEngineAreKilled(t *testing.T) {
	t.Parallel()
	e := harness.NewOwnEngine(t, "")
	p := harness.NewPlace(t, harness.Settings{Host: e.Host, Other: "[storage]\nbackend = \"xfs-loop\""})
	j := harness.Job(t, "bookworm", "true")
	take := func() leftovers.Snapshot {
		found := e.Snapshot(t, p)
		maps.DeleteFunc(found, func(thing string, _ bool) bool { return strings.HasPrefix(thing, "process") })
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
		e.Restart(t)
		if call := s.Cleanup(); call.Err != nil {
			t.Errorf("%s, killed after %s: %v", when, delay, call)
		}
		if diff := leftovers.Diff(before, take()); diff != "" {
			t.Errorf("%s, killed after %s, left behind:\n%s", when, delay, diff)
		}
		return over
	}
	over := false
	for delay := 60 * time.Millisecond; !over && delay < 20*time.Second && !t.Failed(); delay *= time.Duration(1 + harness.Step(2)) {
		s := p.Configured(t, j)
		over = killed("set-up", s, s.StartPrepare(), delay)
	}
	for _, delay := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond} {
		s := p.Configured(t, j)
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
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\""})
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	name := s.Job.ID
	found, err := filepath.Glob(filepath.Join(p.StateDir, "jobs", fmt.Sprintf("*-j%d", name), "storage-device"))
	if err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
}
