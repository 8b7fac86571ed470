package executor

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/proc"
	"gitlab-sysbox-executor/executor/removal"
)

// A job that only variables identify is left alone if another process drives it, or may drive it.
func TestHostileCleanupUnproven(t *testing.T) {
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
		journal, label owner.Process // zero means none
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
			identity := job.Identity{Server: "a", ProjectID: 1, JobID: 1}
			x, backend := inMemory(t)
			if c.label.PID != 0 {
				backend.add(identity.Name(), map[string]string{job.LabelName: identity.Name(), job.LabelOwner: c.label.String()})
			}
			backend.remove = func(r removal.Resource) {
				if c.refused != "" {
					t.Errorf("%s is removed", r.Name)
				}
			}
			path := x.Dir.Journal(identity.Name())
			if c.journal.PID != 0 {
				j, _, err := journal.Open(x.Dir.Journals(), identity.Name())
				if err == nil {
					err = j.Begin(json.RawMessage("{}"), c.journal, x.Backend.Host())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err := x.CleanupUnproven(t.Context(), identity)
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v", err)
			}
			_, statErr := os.Stat(path)
			exists := statErr == nil
			if exists != (c.refused != "" && c.journal.PID != 0) {
				t.Errorf("journal there: %t", exists)
			}
		})
	}
}
