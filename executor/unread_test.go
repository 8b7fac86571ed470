package executor

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/executor/journal"
)

// A journal that cannot be read for the moment is neither taken for an empty one nor
// written: cleanup says so and gc keeps the job, until it can be read again.
func TestJournalUnreadForTheMoment(t *testing.T) {
	t.Parallel()
	var mend sync.Once
	now := func() {}
	x := standIn(t, nil, func(*http.Request) { now() })
	identity := Identity{Server: "a", ProjectID: 1, JobID: 1}
	name := identity.Name()
	path := x.state().Journal(name)
	j, _, err := journal.Open(x.state().Journals(), name)
	file := journal.Resource{Kind: journal.File, Name: filepath.Join(x.StateDir, "file")}
	if err == nil {
		err = j.Begin(json.RawMessage("{}"), journal.Owner(), x.Engine.Host(), file)
	}
	if err == nil {
		err = os.WriteFile(file.Name, nil, 0o600)
	}
	if err == nil {
		err = os.Rename(path, path+".good")
	}
	if err == nil {
		err = os.Symlink(path, path) // ELOOP
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Cleanup(t.Context(), identity); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("cleanup: %v", err)
	}
	all, err := x.GC(t.Context(), GCOptions{})
	if err != nil || len(all) != 1 || all[0].Action != Kept || !strings.Contains(all[0].Reason, path) {
		t.Errorf("gc: %+v %v", all, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the journal was written: %v %v", info, err)
	}
	// The moment passes while cleanup is at work.
	now = func() {
		mend.Do(func() {
			if err := os.Rename(path+".good", path); err != nil {
				t.Error(err)
			}
		})
	}
	if err := x.Cleanup(t.Context(), identity); err != nil || exists(file.Name) || exists(path) {
		t.Errorf("cleanup: %v, %v, %v", err, exists(file.Name), exists(path))
	}
}

// Whoever cannot see whether a stage runs takes it that one does.
func TestUsedWhenInDoubt(t *testing.T) {
	x := &Executor{StateDir: t.TempDir()}
	if x.state().Used("gsx-0123abcd-p1-j1") {
		t.Error("what is not there is used")
	}
	folder := x.state().Job("gsx-0123abcd-p1-j1")
	if err := os.Mkdir(filepath.Dir(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(folder, folder); err != nil { // ELOOP
		t.Fatal(err)
	}
	if !x.state().Used("gsx-0123abcd-p1-j1") {
		t.Error("what cannot be opened is not used")
	}
}
