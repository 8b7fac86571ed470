package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// The agent's report about a script is recorded within possible values.
func TestHostileUsageIsPossible(t *testing.T) {
	x, _ := inMemory(t)
	i := job.Identity{Server: "https://gitlab.example.com", ProjectID: 1, JobID: 2}
	if err := os.MkdirAll(x.Dir.Job(i.Name()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (storage.State{Claim: storage.Claim{Limit: 100}, Hard: true}).Write(x.Dir.Job(i.Name())); err != nil {
		t.Fatal(err)
	}
	x.noteUsage(t.Context(), i, &agent.Usage{Used: -1e18, Peak: 9e18}, true)
	text, err := os.ReadFile(filepath.Join(x.Dir.Job(i.Name()), "volume.json"))
	if err != nil || !strings.Contains(string(text), `"peak":100`) || strings.Contains(string(text), `"used"`) {
		t.Errorf("%s %v", text, err)
	}
}
