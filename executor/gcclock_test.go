package executor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
)

// A clock that is set back or ahead by years makes no job that may live look dead,
// and nothing that is dead look new for long.
func TestGCWhenTheClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	here := journal.Owner()
	unseen := func(age time.Duration) journal.Process { // of another PID name space
		p := here
		p.Space, p.At = "1", p.At-int64(age/time.Second)
		return p
	}
	elsewhere, ended := here, here
	elsewhere.Machine = "other"
	ended.Started++
	for name, tc := range map[string]struct {
		owner     journal.Process
		used      time.Duration // ago, by the clock
		olderThan time.Duration
		lives     bool
	}{
		"seen, clock ahead":                     {here, 5 * year, 0, true},
		"seen, clock back":                      {here, -5 * year, 0, true},
		"ended, clock back":                     {ended, -5 * year, 0, false},
		"unseen, new, clock ahead":              {unseen(time.Hour), 5 * year, 0, true},
		"unseen, new, clock back":               {unseen(time.Hour), -5 * year, 0, true},
		"unseen, old, clock back":               {unseen(25 * time.Hour), -5 * year, 0, true}, // for a day from now
		"unseen, begun long ago, used lately":   {unseen(72 * time.Hour), time.Hour, 0, true},
		"unseen, begun long ago, used long ago": {unseen(72 * time.Hour), 48 * time.Hour, 0, false},
		"ended, clock back, older than an hour": {ended, -5 * year, time.Hour, true},
		"ended long ago, older than an hour":    {ended, 2 * time.Hour, time.Hour, true}, // it was begun just now
		"elsewhere, clock back":                 {elsewhere, -5 * year, 0, true},
		"elsewhere, used long ago":              {elsewhere, 48 * time.Hour, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			x := &Executor{StateDir: t.TempDir()}
			j, _, err := journal.Open(x.state().Journals(), "gsx-0123abcd-p1-j1")
			if err == nil {
				err = j.Begin(json.RawMessage("{}"), tc.owner, "")
			}
			then := time.Now().Add(-tc.used)
			path := x.state().Journal("gsx-0123abcd-p1-j1")
			if err == nil {
				err = os.Chtimes(path, then, then)
			}
			if err != nil {
				t.Fatal(err)
			}
			if lives, why := x.lives("gsx-0123abcd-p1-j1", nil, tc.olderThan); lives != tc.lives {
				t.Errorf("%v: %s", lives, why)
			}
			// Its time begins to run.
			if info, err := os.Stat(path); err != nil || time.Until(info.ModTime()) > time.Hour {
				t.Errorf("last used at %v %v", info.ModTime(), err)
			}
		})
	}
}

// What was set aside goes with a stamp from the future, too; a journal that could
// not be read begins its week.
func TestGCOfWhatWasSetAsideInTheFuture(t *testing.T) {
	x := &Executor{StateDir: t.TempDir(), CleanupTimeout: time.Minute}
	folder := filepath.Join(x.state().Aside(), "gsx-1-1")
	unread := x.state().Journal("gsx-0123abcd-p1-j1") + ".aside-1"
	future := time.Now().Add(5 * 365 * 24 * time.Hour)
	for _, err := range []error{
		os.MkdirAll(folder, 0o700), os.MkdirAll(filepath.Dir(unread), 0o700), os.WriteFile(unread, nil, 0o600),
		os.Chtimes(folder, future, future), os.Chtimes(unread, future, future),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	actions := map[string]Action{}
	for _, c := range x.collectAside(t.Context(), GCOptions{}) {
		actions[c.Name] = c.Action
	}
	if actions[folder] != Removed || exists(folder) || actions[unread] != Kept {
		t.Errorf("%v", actions)
	}
	if info, err := os.Stat(unread); err != nil || info.ModTime().After(time.Now()) {
		t.Errorf("%v %v", info, err)
	}
}
