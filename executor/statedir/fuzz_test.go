package statedir

import (
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// A journal names resources to remove. None of them may be a path outside the state folder.
func FuzzHolds(f *testing.F) {
	const dir = "/var/lib/gitlab-sysbox-executor"
	for _, name := range []string{dir + "/jobs/gsx-1", dir + "/../x", "/", "", "..", dir, dir + "//x", "/dev/loop0"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		defer heap.Bounded(t)()
		if !Dir(dir).Holds(name) {
			return
		}
		rest, inside := strings.CutPrefix(name, dir+"/")
		if !inside || rest == "" || filepath.Clean(name) != name || rest == ".." || strings.HasPrefix(rest, "../") {
			t.Errorf("%q is taken for ours", name)
		}
	})
}
