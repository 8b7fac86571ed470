package kept

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
)

// keeping is a store on another machine than its engine. It has the volumes "old" and "new" of
// 100 bytes each, last used 3 and 2 hours ago.
func keeping(t *testing.T) (*Store, *volumes) {
	t.Helper()
	e := &volumes{dir: t.TempDir(), users: map[string]bool{}, sizes: map[string]int64{"old": 100, "new": 100}}
	log := logrus.New()
	log.SetOutput(t.Output())
	s := &Store{State: statedir.Dir(t.TempDir()), Engine: e, Log: log}
	add(t, s, e, "old", nil, 3*time.Hour)
	add(t, s, e, "new", nil, 2*time.Hour)
	return s, e
}

// add makes a volume with this idle time.
func add(t *testing.T, s *Store, e *volumes, name string, labels map[string]string, idle time.Duration) {
	t.Helper()
	hold, _, err := s.takeVolume(t.Context(), name, labels, false)
	if err != nil || hold == nil {
		t.Fatal(hold, err)
	}
	hold.Release()
	then := time.Now().Add(-idle)
	if err := os.Chtimes(s.State.Kept(name), then, then); err != nil {
		t.Fatal(err)
	}
}

// there reports whether the engine has the volume.
func (e *volumes) there(name string) bool {
	_, err := os.Stat(e.path(name))
	return err == nil
}

func TestCollect(t *testing.T) {
	byAge, bySize := Limits{Keep: time.Hour}, Limits{Total: config.Amount{Size: 150}}
	const age, size, used = "builds that no job has used for ", "builds of 100B, the least recently used of more than 150B (gc.most_volumes)", "a job uses it, or has just used it"
	type found struct {
		action removal.Action
		reason string
	}
	for _, tc := range []struct {
		name   string
		limits Limits
		users  string
		locked string
		want   map[string]found
	}{
		{name: "by age", limits: byAge, want: map[string]found{"old": {removal.Removed, age + "3 hours"}, "new": {removal.Removed, age + "2 hours"}}},
		{name: "by age, a job has one", limits: byAge, users: "old", want: map[string]found{"old": {removal.Kept, used}, "new": {removal.Removed, age + "2 hours"}}},
		{name: "by age, a job gets one", limits: byAge, locked: "old", want: map[string]found{"old": {removal.Kept, used}, "new": {removal.Removed, age + "2 hours"}}},
		{name: "by size", limits: bySize, want: map[string]found{"old": {removal.Removed, size}}},
		{name: "by size, a job has one", limits: bySize, users: "old", want: map[string]found{"old": {removal.Kept, used}, "new": {removal.Removed, size}}},
		{name: "by size, a job gets one", limits: bySize, locked: "old", want: map[string]found{"old": {removal.Kept, used}, "new": {removal.Removed, size}}},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dry run %v", tc.name, dryRun), func(t *testing.T) {
				s, e := keeping(t)
				e.users[tc.users] = true
				if tc.locked != "" {
					use, err := s.State.Hold(tc.locked, false)
					if use == nil || err != nil {
						t.Fatal(use, err)
					}
					defer use.Release()
				}
				s.Limits = tc.limits
				all, err := s.Collect(t.Context(), removal.Options{DryRun: dryRun})
				if err != nil || len(all) != len(tc.want) {
					t.Fatalf("%+v, %v", all, err)
				}
				for _, c := range all {
					want := tc.want[c.Name]
					if dryRun && want.action == removal.Removed {
						want.action = removal.WouldRemove
					}
					if gone := !e.there(c.Name); c.Action != want.action || c.Reason != want.reason || gone != (want.action == removal.Removed) {
						t.Errorf("%+v, gone %v, want %+v", c, gone, want)
					}
				}
			})
		}
	}
}

// A volume that a job has used since it was listed stays.
func TestCollectLooksAgain(t *testing.T) {
	s, e := keeping(t)
	e.removed = func(name string) { s.Used([]string{map[string]string{"old": "new", "new": "old"}[name]}) }
	s.Limits.Keep = time.Hour
	all, err := s.Collect(t.Context(), removal.Options{})
	if err != nil || len(all) != 2 || all[0].Action != removal.Removed || all[1].Action != removal.Kept || !e.there(all[1].Name) || e.there(all[0].Name) {
		t.Errorf("%+v, %v", all, err)
	}
}

// A gc that is stopped does not continue with further volumes.
func TestCollectEnds(t *testing.T) {
	s, e := keeping(t)
	ctx, cancel := context.WithCancel(t.Context())
	e.removed = func(string) { cancel() }
	s.Limits.Total.Size = 1
	all, err := s.Collect(ctx, removal.Options{})
	if !errors.Is(err, context.Canceled) || len(all) != 1 || e.there("old") || !e.there("new") {
		t.Errorf("%+v, %v", all, err)
	}
}

// A use is recorded only for volumes that have a file in this state folder.
func TestUsed(t *testing.T) {
	s, e := keeping(t)
	if err := e.CreateVolume(t.Context(), "another's", nil, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Minute)
	s.Used([]string{"old", "another's"})
	for name, want := range map[string]bool{"old": true, "new": false} {
		if last, err := statedir.LastUse(s.State.Kept(name)); err != nil || last.After(began) != want {
			t.Errorf("%s: %v, %v", name, last, err)
		}
	}
	if _, err := os.Stat(s.State.Kept("another's")); err == nil {
		t.Error("a volume of another state folder's is taken for one of ours")
	}
}

func TestUnused(t *testing.T) {
	for _, tc := range []struct {
		o    removal.Options
		want string
	}{
		{removal.Options{}, "old removed, new kept"},
		{removal.Options{DryRun: true}, "old would remove, new kept"},
		{removal.Options{OlderThan: 150 * time.Minute}, "old removed"},
		{removal.Options{OlderThan: 4 * time.Hour}, ""},
	} {
		s, e := keeping(t)
		if err := e.CreateVolume(t.Context(), "another's", nil, nil); err != nil {
			t.Fatal(err)
		}
		e.users["new"] = true
		all, err := s.Unused(t.Context(), tc.o, "it is in the way")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, remove := range all {
			c, _ := remove(t.Context())
			got = append(got, c.Name+" "+string(c.Action))
			if c.Action != removal.Kept && c.Reason != "it is in the way" {
				t.Errorf("%+v", c)
			}
		}
		if got := strings.Join(got, ", "); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.o, got, tc.want)
		}
	}
}

// The cleanup of a job measures the volumes of the job's project.
func TestAfterMeasures(t *testing.T) {
	i := job.Identity{Server: "gitlab.example.com", ProjectID: 1, JobID: 2}
	other := job.Identity{Server: "gitlab.example.com", ProjectID: 11, JobID: 2}
	for _, tc := range []struct {
		name   string
		limits Limits
		used   bool
		gone   []string
		log    string
	}{
		{"no limit", Limits{}, false, nil, ""},
		{"each fits", Limits{Each: config.Amount{Size: 4 << 20}}, false, nil, ""},
		{"each", Limits{Each: config.Amount{Size: 1 << 20}}, false, []string{"builds", "cache"}, "was removed and not kept: it had 2"},
		{"each, a parallel job has it", Limits{Each: config.Amount{Size: 1 << 20}}, true, nil, ""},
		{"all fit", Limits{Total: config.Amount{Size: 10 << 20}}, false, nil, ""},
		{"all", Limits{Total: config.Amount{Size: 3 << 20}}, false, []string{"other", "builds"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e := keeping(t)
			for _, name := range []string{"old", "new"} {
				if _, err := s.Remove(t.Context(), Volume{Name: name, LastUse: time.Now()}, false); err != nil {
					t.Fatal(err)
				}
			}
			var log strings.Builder
			logger := logrus.New()
			logger.SetOutput(&log)
			s.Local, s.Limits, s.Log = true, tc.limits, logger
			names := map[string]string{}
			for _, v := range []struct {
				what, kind string
				of         job.Identity
				idle       time.Duration
			}{{"other", Cache, other, 3 * time.Hour}, {"builds", Builds, i, 2 * time.Hour}, {"cache", Cache, i, time.Hour}} {
				name, labels := volumeFor(v.of, v.kind, false, nil)
				add(t, s, e, name, labels, v.idle)
				if err := os.WriteFile(filepath.Join(e.path(name), "file"), make([]byte, 2<<20), 0o644); err != nil {
					t.Fatal(err)
				}
				e.users[name] = tc.used
				names[v.what] = name
			}
			if tc.limits.Total.Size > 0 { // the other project's volume was measured when its job ended
				s.After(t.Context(), other)
			}
			s.After(t.Context(), i)
			for what, name := range names {
				if want := slices.Contains(tc.gone, what); e.there(name) == want {
					t.Errorf("%s: gone %v, want %v", name, !want, want)
				}
			}
			if text := log.String(); !strings.Contains(text, tc.log) || tc.log == "" && text != "" {
				t.Errorf("log: %s", text)
			}
		})
	}
}
