package executor

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

// Where a job has labels only, those of this state folder tell that it is over.
func TestGCOfLabelsAlone(t *testing.T) {
	x := &Executor{StateDir: t.TempDir()}
	other := &Executor{StateDir: t.TempDir()}
	here := journal.Owner()
	elsewhere := here
	elsewhere.Machine = "other"
	copied := here // of a machine with a copy of this one's disk, number and state folder
	copied.Boot = "other"
	found := func(x *Executor, owner journal.Process) thing {
		labels := map[string]string{job.LabelOwner: owner.String()}
		if x != nil {
			x.mark(labels)
		}
		return thing{journal.Network, engine.Found{Labels: labels}}
	}
	for name, tc := range map[string]struct {
		found  []thing
		folder bool
		lives  bool
	}{
		"ours":                                      {[]thing{found(x, here)}, false, false},
		"ours, with its folder":                     {[]thing{found(x, here)}, true, true},
		"another's":                                 {[]thing{found(other, here)}, false, true},
		"of an older version":                       {[]thing{found(nil, here)}, false, true},
		"ours and another's":                        {[]thing{found(x, here), found(other, here)}, false, true},
		"of a machine with such numbers":            {[]thing{found(x, elsewhere)}, false, true},
		"of a copy of this machine":                 {[]thing{found(x, copied)}, false, true},
		"ours, before the machine was started anew": {[]thing{found(x, copied)}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := x.state().Job("gsx-0123abcd-p1-j1")
			if tc.folder {
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(folder)
			}
			tc.found[0].Made = time.Now()
			if lives, why := x.lives("gsx-0123abcd-p1-j1", tc.found, 0); lives != tc.lives {
				t.Errorf("%v: %s", lives, why)
			}
		})
	}
	gone := &Executor{StateDir: filepath.Join(x.StateDir, "none")}
	if lives, why := gone.lives("gsx-0123abcd-p1-j1", []thing{found(gone, here)}, 0); !lives {
		t.Errorf("of no state folder: %s", why)
	}
}

// Another state folder's job that lives leaves no trace in this one, not even for the
// moment in which a kill would make it last.
func TestGCWritesNothingForAnothersJob(t *testing.T) {
	owner := journal.Owner()
	networks := []engine.Found{{Name: "gsx-0123abcd-p1-j1", Labels: map[string]string{job.LabelName: "gsx-0123abcd-p1-j1", job.LabelOwner: owner.String()}}}
	var x *Executor
	asked := 0
	x = standIn(t, networks, func(r *http.Request) {
		if !strings.Contains(r.URL.Query().Get("filters"), job.LabelName+"=gsx-0123abcd-p1-j1") {
			return
		}
		asked++
		if all, err := filepath.Glob(filepath.Join(x.state().Journals(), "*")); err != nil || len(all) > 0 {
			t.Errorf("%s: %v %v", r.URL, all, err)
		}
	})
	all, err := x.GC(t.Context(), GCOptions{})
	if err != nil || len(all) != 1 || all[0].Action != Kept || asked == 0 {
		t.Errorf("%+v %v, asked %d times", all, err, asked)
	}
}
