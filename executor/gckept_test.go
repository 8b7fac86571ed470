package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
)

// keptEngine is an engine that has volumes, and containers that have some of them.
type keptEngine struct {
	volumes []string
	users   map[string]bool
	// removing is called before a volume goes.
	removing func(volume string)
}

func (e *keptEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/_ping":
		fmt.Fprint(w, "OK")
	case path == "volumes":
		var all []map[string]any
		for _, v := range e.volumes {
			all = append(all, map[string]any{"Name": v, "Labels": map[string]string{job.LabelKept: "builds"}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": all})
	case path == "system/df":
		var all []map[string]any
		for _, v := range e.volumes {
			all = append(all, map[string]any{"Name": v, "UsageData": map[string]int64{"Size": 100}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": all})
	case path == "containers/json":
		all := []map[string]any{}
		for v := range e.users {
			if strings.Contains(r.URL.Query().Get("filters"), `"`+v+`"`) {
				all = append(all, map[string]any{"Id": "0123"})
			}
		}
		_ = json.NewEncoder(w).Encode(all)
	case r.Method == http.MethodDelete && strings.HasPrefix(path, "volumes/"):
		name := strings.TrimPrefix(path, "volumes/")
		e.volumes = slices.DeleteFunc(slices.Clone(e.volumes), func(v string) bool { return v == name })
		if e.removing != nil {
			e.removing(name)
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "containers/"): // of a job that has them all
		var all []map[string]string
		for _, v := range e.volumes {
			all = append(all, map[string]string{"Type": "volume", "Name": v})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Mounts": all})
	default:
		http.Error(w, `{"message": "no such page"}`, http.StatusNotFound)
	}
}

// keeping is an executor with volumes "old" and "new", last used so long ago.
func keeping(t *testing.T, e *keptEngine) *Executor {
	t.Helper()
	e.volumes = []string{"old", "new"}
	s := httptest.NewUnstartedServer(e)
	dir := t.TempDir()
	var err error
	if s.Listener, err = net.Listen("unix", filepath.Join(dir, "socket")); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
	log := logrus.New()
	log.SetOutput(io.Discard)
	x := &Executor{StateDir: dir, Log: log}
	if x.Engine, err = engine.New("unix://"+filepath.Join(dir, "socket"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(x.state().Kept("."), 0o700); err != nil {
		t.Fatal(err)
	}
	for v, hours := range map[string]int{"old": 3, "new": 2} {
		then := time.Now().Add(-time.Duration(hours) * time.Hour)
		if err := os.WriteFile(x.state().Kept(v), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(x.state().Kept(v), then, then); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// touch has a kept volume look used just now.
func touch(t *testing.T, x *Executor, volume string) {
	now := time.Now()
	if err := os.Chtimes(x.state().Kept(volume), now, now); err != nil {
		t.Error(err)
	}
}

func TestCollectKept(t *testing.T) {
	byAge, bySize := Disk{KeepVolumes: time.Hour}, Disk{MostVolumes: config.Amount{Size: 150}}
	for _, tc := range []struct {
		name   string
		disk   Disk
		users  string
		locked string
		want   map[string]Action
	}{
		{name: "by age", disk: byAge, want: map[string]Action{"old": Removed, "new": Removed}},
		{name: "by age, a job has one", disk: byAge, users: "old", want: map[string]Action{"old": Kept, "new": Removed}},
		{name: "by age, a job gets one", disk: byAge, locked: "old", want: map[string]Action{"old": Kept, "new": Removed}},
		{name: "by size", disk: bySize, want: map[string]Action{"old": Removed}},
		{name: "by size, a job has one", disk: bySize, users: "old", want: map[string]Action{"old": Kept, "new": Removed}},
		{name: "by size, a job gets one", disk: bySize, locked: "old", want: map[string]Action{"old": Kept, "new": Removed}},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dry run %v", tc.name, dryRun), func(t *testing.T) {
				e := &keptEngine{users: map[string]bool{tc.users: true}}
				x := keeping(t, e)
				if tc.locked != "" {
					use, err := x.state().Hold(tc.locked, false)
					if use == nil || err != nil {
						t.Fatal(use, err)
					}
					defer use.Release()
				}
				x.Disk = tc.disk
				all, err := x.collectKept(t.Context(), GCOptions{DryRun: dryRun})
				if err != nil || len(all) != len(tc.want) {
					t.Fatalf("%+v, %v", all, err)
				}
				for _, c := range all {
					want := tc.want[c.Name]
					if dryRun && want == Removed {
						want = WouldRemove
					}
					if gone := !slices.Contains(e.volumes, c.Name); c.Action != want || gone != (want == Removed) {
						t.Errorf("%+v, gone %v, want %s", c, gone, want)
					}
				}
			})
		}
	}
}

// A volume that a job has had between the list and its turn stays.
func TestCollectKeptLooksAgain(t *testing.T) {
	e := &keptEngine{}
	x := keeping(t, e)
	e.removing = func(string) { touch(t, x, "new") }
	x.Disk.KeepVolumes = time.Hour
	all, err := x.collectKept(t.Context(), GCOptions{})
	if err != nil || len(all) != 2 || all[0].Action != Removed || all[1].Action != Kept || !slices.Equal(e.volumes, []string{"new"}) {
		t.Errorf("%+v, %v, left %v", all, err, e.volumes)
	}
}

// A gc that is ended goes through no more volumes.
func TestCollectKeptEnds(t *testing.T) {
	e := &keptEngine{}
	x := keeping(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	e.removing = func(string) { cancel() }
	x.Disk.MostVolumes.Size = 1
	all, err := x.collectKept(ctx, GCOptions{})
	if !errors.Is(err, context.Canceled) || len(all) != 1 || !slices.Equal(e.volumes, []string{"new"}) {
		t.Errorf("%+v, %v, left %v", all, err, e.volumes)
	}
}

// The end of a job counts as use of what it had.
func TestCleanupIsAUse(t *testing.T) {
	x := keeping(t, &keptEngine{})
	began := time.Now().Add(-time.Minute)
	containers := x.docker().Kinds()[0]
	j, _, err := journal.Open(x.state().Journals(), "gsx-0123abcd-p1-j1")
	if err != nil {
		t.Fatal(err)
	}
	containers.Examine(t.Context(), &removal.Resource{ID: "0123"}, j)
	for _, v := range []string{"old", "new"} {
		if last, err := statedir.LastUse(x.state().Kept(v)); err != nil || last.Before(began) {
			t.Errorf("%s: %v, %v", v, last, err)
		}
	}
	if err := os.Remove(x.state().Kept("old")); err != nil {
		t.Fatal(err)
	}
	containers.Examine(t.Context(), &removal.Resource{ID: "0123"}, j)
	if _, err := os.Stat(x.state().Kept("old")); err == nil {
		t.Error("a volume of another state folder's is taken for one of ours")
	}
}
