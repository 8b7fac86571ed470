package leftovers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// look takes what needs no engine.
func look(t *testing.T, s Scope) Snapshot {
	t.Helper()
	found := Snapshot{}
	for _, f := range []error{s.mounts(t.Context(), found), s.files(t.Context(), found), s.processes(t.Context(), found), s.loops(t.Context(), found)} {
		if f != nil {
			t.Fatal(f)
		}
	}
	return found
}

func TestDiffNamesWhatCameAndWent(t *testing.T) {
	got := Diff(Snapshot{"a": true, "b": true}, Snapshot{"b": true, "c": true})
	if got != "+ c\n- a" {
		t.Errorf("got %q", got)
	}
}

func TestFilesAndDriversAreSeen(t *testing.T) {
	dir := t.TempDir()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	driver := filepath.Join(dir, "driver")
	if err := exec.Command("cp", sleep, driver).Run(); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	scope := Scope{EngineDir: "/nonexistent", StateDirs: []string{state}, Driver: driver}
	before := look(t, scope)

	if err := os.MkdirAll(filepath.Join(state, "jobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "jobs", "1.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	left := exec.Command(driver, "60")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	got := Diff(before, look(t, scope))
	_ = left.Process.Kill()
	_ = left.Wait() // it was killed
	for _, want := range []string{"+ file " + state + "/jobs/1.json", "(" + driver + " 60)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := strings.Count(got, "\n"); got != 1 {
		t.Errorf("%d lines instead of two", got+1)
	}
}
