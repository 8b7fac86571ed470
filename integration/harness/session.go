package harness

import (
	"fmt"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// Session opens a session of a job and takes it to where prepare comes next.
// Nothing is cleaned up at the test's end.
func (p *Place) Session(t *testing.T, j runner.Job) *runner.Session {
	t.Helper()
	s, err := p.Runner.Open(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if call, err := s.Config(t.Context()); err != nil {
		t.Fatal(err, call)
	}
	return s
}

// Configured opens a session and takes it to where prepare comes next.
func (p *Place) Configured(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s, err := p.Runner.Open(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if call := s.Cleanup(); call.Err != nil {
			t.Error(call)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if call, err := s.Config(t.Context()); err != nil {
		t.Fatal(err, call)
	}
	return s
}

// Prepared plays config and prepare, and returns how the latter went.
func (p *Place) Prepared(t testing.TB, j runner.Job) (*runner.Session, *runner.Call) {
	t.Helper()
	s := p.Configured(t, j)
	return s, s.Prepare(t.Context())
}

// Ready opens a session and takes it to where scripts can run. Its cleanup
// comes at the test's end.
func (p *Place) Ready(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s := p.Configured(t, j)
	for _, call := range []*runner.Call{
		s.Prepare(t.Context()), s.Run(t.Context(), runner.StagePrepareScript), s.Run(t.Context(), runner.StageGetSources),
	} {
		if call.Err != nil {
			t.Fatal(call)
		}
	}
	return s
}

// Orphaned prepares a job whose Runner then is no more: it is driven by a process
// that ends with prepare.
func (p *Place) Orphaned(t *testing.T, j runner.Job) *runner.Session {
	t.Helper()
	o := *p
	o.Runner.Driver.PrepareArgs = append([]string{"600", o.Runner.Driver.Path}, o.Runner.Driver.PrepareArgs...)
	o.Runner.Driver.ConfigArgs = append([]string{"600", o.Runner.Driver.Path}, o.Runner.Driver.ConfigArgs...)
	o.Runner.Driver.Path = "timeout"
	s := o.Session(t, j)
	if call := s.Prepare(t.Context()); call.Err != nil {
		t.Fatal(call)
	}
	return s
}

// Container is the ID of the session's job container.
func (p *Place) Container(t testing.TB, s *runner.Session) string {
	t.Helper()
	found, err := World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(found) != 1 {
		t.Fatalf("containers of job %d: %v %v", s.Job.ID, found, err)
	}
	return found[0].ID
}

// JobName is what the resources of the session's job are called.
func JobName(t testing.TB, s *runner.Session) string {
	t.Helper()
	found, err := World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	return found[0].Labels["io.gitlab-sysbox-executor.name"]
}
