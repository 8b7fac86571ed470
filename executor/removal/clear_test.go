package removal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/teardown"
)

// begin writes the first record of a job's journal.
func begin(t *testing.T, e *Engine, intended ...journal.Resource) {
	t.Helper()
	j, _, err := journal.Open(e.Dir.Journals(), aJob)
	if err == nil {
		err = j.Begin(json.RawMessage("{}"), owner.Current(), e.Backend.Host(), intended...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Kinds are removed in their order. Resources that a removal reveals are removed after the
// next list.
func TestClearInOrder(t *testing.T) {
	containers, volumes := asked(journal.Container), asked(journal.Volume)
	var gone []string
	containers.remove = func(r Resource) error {
		gone = append(gone, r.Name)
		volumes.add(aJob, "late", nil)
		return nil
	}
	volumes.remove = func(r Resource) error {
		if containers.count() > 0 {
			t.Errorf("%s goes before what uses it", r.Name)
		}
		gone = append(gone, r.Name)
		return nil
	}
	containers.add(aJob, "c", nil)
	volumes.add(aJob, "v", nil)
	volumes.add("gsx-0123abcd-p1-j9", "another", nil)
	e := testEngine(t, containers, volumes)
	left, err := e.Clear(t.Context(), aJob, nil)
	if slices.Sort(gone); err != nil || len(left) > 0 || strings.Join(gone, " ") != "c late v" || volumes.count() != 1 {
		t.Errorf("%v %v, removed %v", left, err, gone)
	}
}

// A removal waits for requests that were not answered, and for nothing else.
func TestClearAwaitsTheUnanswered(t *testing.T) {
	volumes := asked(journal.Volume)
	e := testEngine(t, volumes)
	begin(t, e, journal.Resource{Kind: journal.Volume, Name: "v"})
	time.AfterFunc(time.Second, func() { volumes.add(aJob, "v", nil) })
	if left, err := e.Clear(t.Context(), aJob, nil); err != nil || len(left) > 0 || volumes.count() > 0 {
		t.Errorf("%v %v, %d there", left, err, volumes.count())
	}
	if exists(e.Dir.Journal(aJob)) {
		t.Error("the journal is still there")
	}
}

// A leftover is recorded with its users and is removed by the next removal. It prevents
// another attempt if an engine made it.
func TestLeftover(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprintf("made by an engine %t", made), func(t *testing.T) {
			volumes := &memory{name: journal.Volume, traits: Traits{Asked: made, Round: time.Second}}
			stuck := true
			volumes.remove = func(Resource) error {
				if stuck {
					return errors.New("it will not go.")
				}
				return nil
			}
			volumes.users = func(context.Context) []string { return []string{"container web"} }
			volumes.add(aJob, "v", nil)
			e := testEngine(t, volumes)
			begin(t, e)
			then := 0
			left, err := e.Clear(t.Context(), aJob, func() error { then++; return nil })
			if err != nil || len(left) != 1 || left[0].Left != "it will not go; held by container web" || (then == 0) != made || e.Blocks(left[0]) != made {
				t.Errorf("%+v %v, went on %d times", left, err, then)
			}
			c, _, err := journal.Read(e.Dir.Journals(), aJob)
			if err != nil || len(c.Resources) != 1 || c.Resources[0].Left == "" {
				t.Errorf("%+v %v", c, err)
			}
			stuck = false
			if left, err := e.Clear(t.Context(), aJob, nil); err != nil || len(left) > 0 || volumes.count() > 0 {
				t.Errorf("%v %v", left, err)
			}
		})
	}
}

// Busy resources are tried again for the kind's Patience. Other failures are not repeated.
func TestPatience(t *testing.T) {
	busy := &teardown.StillBusy{}
	for name, c := range map[string]struct {
		err      error
		patience time.Duration
		again    bool
	}{
		"busy":                {busy, 0, true},
		"busy, no more time":  {busy, time.Nanosecond, false},
		"busy, with patience": {busy, time.Hour, true},
		"refused":             {errors.New("no"), 0, false},
	} {
		f := failure{kind: &memory{traits: Traits{Patience: c.patience}}, err: c.err}
		if got := f.mayPass(time.Second); got != c.again {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A removal ends in time even if it takes long to find the users of leftovers.
func TestLeftoversAreReportedInTime(t *testing.T) {
	t.Parallel()
	volumes := asked(journal.Volume)
	volumes.remove = func(Resource) error { return errors.New("busy") }
	volumes.users = func(ctx context.Context) []string { <-ctx.Done(); return nil }
	for n := range 15 {
		volumes.add(aJob, fmt.Sprint(n), nil)
	}
	e := testEngine(t, volumes)
	e.Timeout = 5 * time.Second
	began := time.Now()
	if left, err := e.Clear(t.Context(), aJob, nil); err != nil || len(left) != 15 {
		t.Errorf("left: %v %v", left, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// The resources of a job on another engine are not searched for on this one.
func TestClearOfAnotherEngine(t *testing.T) {
	e := testEngine(t, asked(journal.Volume))
	j, _, err := journal.Open(e.Dir.Journals(), aJob)
	if err == nil {
		err = j.Begin(json.RawMessage("{}"), owner.Current(), "tcp://there:2376")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Clear(t.Context(), aJob, nil); err == nil || !strings.Contains(err.Error(), "tcp://there:2376") {
		t.Error(err)
	}
}

// A journal that cannot be read temporarily must not count as empty and must not be
// written. A removal reports it, and gc keeps the job until the journal can be read again.
func TestJournalUnreadForTheMoment(t *testing.T) {
	t.Parallel()
	var mend sync.Once
	now := func() {}
	volumes := asked(journal.Volume)
	volumes.listed = func(string) { now() }
	volumes.adopt = func(journal.Resource) bool { return volumes.count() == 1 }
	volumes.add("nobody's", "v", nil)
	volumes.remove = func(r Resource) error {
		volumes.mu.Lock()
		volumes.there = nil
		volumes.mu.Unlock()
		return nil
	}
	e := testEngine(t, volumes)
	begin(t, e, journal.Resource{Kind: journal.Volume, Name: "v", Answered: true})
	path := e.Dir.Journal(aJob)
	if err := os.Rename(path, path+".good"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, path); err != nil { // ELOOP
		t.Fatal(err)
	}
	if _, err := e.Clear(t.Context(), aJob, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("cleared: %v", err)
	}
	all, err := e.Collect(t.Context(), Options{})
	if n := slices.IndexFunc(all, func(c Collected) bool { return c.Name == aJob }); err != nil || n < 0 || all[n].Action != Kept || !strings.Contains(all[n].Reason, path) {
		t.Errorf("gc: %+v %v", all, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the journal was written: %v %v", info, err)
	}
	// The journal becomes readable during the removal.
	now = func() {
		mend.Do(func() {
			if err := os.Rename(path+".good", path); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := e.Clear(t.Context(), aJob, nil); err != nil || volumes.count() != 0 || exists(path) {
		t.Errorf("cleared: %v, %d there, %v", err, volumes.count(), exists(path))
	}
}
