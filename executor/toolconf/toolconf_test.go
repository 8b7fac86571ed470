package toolconf

import (
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/storage"
)

// Two writers of one file once undid each other's work.
func TestFilesHaveNamesAndPathsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Files(storage.Settings{Driver: "vfs", TMPDIR: "/tmp"}, CertainLimits) {
		if seen[f.Name] || seen[f.Path] || filepath.Base(f.Name) != f.Name || !filepath.IsAbs(f.Path) || !strings.HasSuffix(f.Text, "\n") {
			t.Errorf("%+v", f)
		}
		seen[f.Name], seen[f.Path] = true, true
	}
}
