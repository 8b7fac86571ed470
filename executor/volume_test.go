package executor

import (
	"testing"

	"gitlab-sysbox-executor/executor/storage"
)

// Two writers of one file in the job's folder once undid each other's work.
func TestFilesInTheJobsFolderHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{agentFile: true, containersFile: true}
	for _, f := range (storage.Settings{Driver: "vfs", TMPDIR: "/tmp"}).Files() {
		if seen[f.Name] {
			t.Errorf("%s has two writers", f.Name)
		}
		seen[f.Name] = true
	}
}
