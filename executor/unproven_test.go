package executor

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/proc"
)

// A job that only variables name is left alone where somebody else drives it, or may.
func TestCleanupUnproven(t *testing.T) {
	t.Parallel()
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	process := func(pid int, change func(*owner.Process)) owner.Process {
		p := owner.Current()
		p.PID, p.Started = pid, proc.Started(pid)
		if change != nil {
			change(&p)
		}
		return p
	}
	none := func(*owner.Process) {}
	for name, c := range map[string]struct {
		journal, label owner.Process // the zero value for none
		refused        string
	}{
		"ours":               {journal: process(os.Getppid(), none)},
		"another's":          {journal: process(other.Process.Pid, none), refused: "is driven by process"},
		"ended":              {journal: process(other.Process.Pid, func(p *owner.Process) { p.Started-- })},
		"elsewhere":          {journal: process(other.Process.Pid, func(p *owner.Process) { p.Space = "1" }), refused: "may be another process's"},
		"another's by label": {label: process(other.Process.Pid, none), refused: "is driven by process"},
		"both":               {journal: process(os.Getppid(), none), label: process(other.Process.Pid, none), refused: "is driven by process"},
		"nothing at all":     {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			identity := Identity{Server: "a", ProjectID: 1, JobID: 1}
			var networks []engine.Found
			if c.label.PID != 0 {
				networks = append(networks, engine.Found{ID: "n", Name: identity.Name(), Labels: map[string]string{job.LabelName: identity.Name(), job.LabelOwner: c.label.String()}})
			}
			x := standIn(t, networks, func(r *http.Request) {
				if r.Method == http.MethodDelete && c.refused != "" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			path := x.state().Journal(identity.Name())
			if c.journal.PID != 0 {
				j, _, err := journal.Open(x.state().Journals(), identity.Name())
				if err == nil {
					err = j.Begin(json.RawMessage("{}"), c.journal, x.Engine.Host())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err := x.CleanupUnproven(t.Context(), identity)
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v", err)
			}
			if exists(path) != (c.refused != "" && c.journal.PID != 0) {
				t.Errorf("journal there: %t", exists(path))
			}
		})
	}
}
