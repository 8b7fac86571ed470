package removal

import (
	"os"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

func TestCleanupAfterAFailedPrepare(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	j.Image = runner.Image{Name: "gsx-test/nonexistent:latest", PullPolicies: []string{"never"}}
	compare := p.Unchanged(t)
	if r := p.Runner.Play(j); r.Outcome == runner.Success {
		t.Error(r)
	}
	compare()
}

func TestCleanupBeforeAnything(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	harness.WantCleanup(t, p.Configured(t, harness.Job(t, "bookworm", "true")))
	compare()
}

// A Runner's temporary folder may be swept before its job is over.
func TestCleanupWithoutThePayload(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	if err := os.Remove(s.ResponseFile()); err != nil {
		t.Fatal(err)
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Exit != 2 {
		t.Errorf("without knowing the job: %s", call)
	}
	harness.WantCleanup(t, s)
	compare()
}

// Prepare is killed at one moment after the other, until it is over.
func TestCleanupAfterAKilledPrepare(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	compare := p.Unchanged(t)
	done := false
	for delay := 10 * time.Millisecond; !done && delay < time.Minute; delay = delay * 5 / 4 {
		s := p.Configured(t, j)
		process := s.StartPrepare()
		if _, err := process.Wait(delay); err == nil {
			done = true
		} else if err := process.Kill(); err != nil {
			t.Fatal(err)
		} else if _, err := process.Wait(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		harness.WantCleanup(t, s)
		compare()
		if t.Failed() {
			t.Fatalf("prepare was killed after %s", delay)
		}
	}
	if !done {
		t.Error("prepare never came to its end")
	}
}

func TestPrepareAgainAfterAKilledOne(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	compare := p.Unchanged(t)
	s := p.Configured(t, j)
	process := s.StartPrepare()
	if _, err := process.Wait(200 * time.Millisecond); err != nil {
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if call := s.Prepare(t.Context()); call.Err != nil {
		t.Error(call)
	}
	harness.WantCleanup(t, s)
	compare()
}

func TestCleanupTwice(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	harness.WantCleanup(t, s)
	compare()
	harness.WantCleanup(t, s)
	compare()
}

func TestTwoCleanupsAtOnce(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	one, two := s.StartCleanup(), s.StartCleanup()
	for _, process := range []*runner.Process{one, two} {
		if call, err := process.Wait(time.Minute); err != nil || call.Err != nil {
			t.Error(err, call)
		}
	}
	compare()
}

// A killed cleanup is finished by the next.
func TestCleanupAfterAKilledCleanup(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.Unchanged(t)
	for _, delay := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		s := p.Ready(t, harness.Job(t, "bookworm", "true"))
		process := s.StartCleanup()
		if _, err := process.Wait(delay); err != nil {
			if err := process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		harness.WantCleanup(t, s)
		compare()
	}
}

func TestCleanupWhileRunLives(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	compare := p.Unchanged(t)
	s, process := p.RunStubborn(t)
	harness.WantCleanup(t, s)
	call, err := process.Wait(30 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if call.Err == nil {
		t.Errorf("run calls itself successful though its container went\n%s", call)
	}
	compare()
}

// Everything of Buildah's is mounted and running when the job is ended.
func TestCleanupInTheMiddleOfABuild(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	j := harness.Job(t, "buildah", append(harness.BuildScript()[:1], harness.Lines(
		`echo 'RUN echo ready; sleep 3600' >>context/Dockerfile`,
		"buildah build context"))...)
	compare := p.Unchanged(t)
	s := p.Ready(t, j)
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.WantCleanup(t, s)
	compare()
}
