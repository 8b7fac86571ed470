package harness

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// NeedsMemoryController skips a test of memory limits where cgroup v2 has no memory controller, because something
// else on this machine uses that of cgroup v1 (scripts/cgroup2.sh).
func NeedsMemoryController(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err == nil && !slices.Contains(strings.Fields(string(text)), "memory") {
		t.Skip("not run: cgroup v2 has no memory controller here")
	}
}
