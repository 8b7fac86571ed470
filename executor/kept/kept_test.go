package kept

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/walk"
)

const name = Prefix + "builds-p1"

// taken is a store with a volume that a job uses, with a file of size bytes in it.
func taken(t *testing.T, size int) (*Store, *volumes) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	e := &volumes{dir: t.TempDir(), users: map[string]bool{}}
	s := &Store{State: statedir.Dir(t.TempDir()), Engine: e, Local: true, Log: log}
	hold, lost, err := s.takeVolume(t.Context(), name, nil, true)
	if err != nil || hold == nil || lost.Known {
		t.Fatal(hold, lost, err)
	}
	hold.Release()
	if err := os.WriteFile(filepath.Join(e.path(name), "file"), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	return s, e
}

// only returns the store's only volume.
func only(t *testing.T, s *Store) Volume {
	t.Helper()
	all, err := s.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

// A measured size is valid until the next use, and measuring is not a use.
func TestMeasureOnce(t *testing.T) {
	s, e := taken(t, 1<<20)
	before := only(t, s)
	all := []Volume{before}
	if err := s.Measure(t.Context(), all, false); err != nil || all[0].Size.Bytes < 1<<20 || all[0].Size.Entries != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	// The size must come from the volume's file, so remove the content.
	if err := os.RemoveAll(filepath.Join(e.path(name), "file")); err != nil {
		t.Fatal(err)
	}
	if total := s.Total(); total != all[0].Size.Bytes {
		t.Errorf("all have %d bytes", total)
	}
	got := only(t, s)
	if got.Size != all[0].Size || !got.LastUse.Equal(before.LastUse) {
		t.Errorf("%+v after it was measured as %+v", got, all[0])
	}
	if again, err := s.unmeasured(t.Context(), func(string) bool { return true }); err != nil || len(again) > 0 {
		t.Errorf("to be measured again: %+v, %v", again, err)
	}
	s.Used([]string{name})
	if got := only(t, s); got.Size.Known {
		t.Errorf("%+v after it was used", got)
	}
	if again, err := s.unmeasured(t.Context(), func(n string) bool { return n == name }); err != nil || len(again) != 1 {
		t.Errorf("to be measured again: %+v, %v", again, err)
	}
}

func TestMeasureInADryRun(t *testing.T) {
	s, _ := taken(t, 1<<20)
	all := []Volume{only(t, s)}
	if err := s.Measure(t.Context(), all, true); err != nil || !all[0].Size.Known {
		t.Fatalf("%+v, %v", all, err)
	}
	if got := only(t, s); got.Size.Known {
		t.Error("a dry run wrote something down")
	}
}

// If a job uses the volume while it is measured, the file keeps the time of this use.
func TestMeasureBesideAUse(t *testing.T) {
	s, _ := taken(t, 1<<20)
	v := only(t, s)
	later := v.LastUse.Add(time.Second)
	if err := os.Chtimes(s.State.Kept(name), later, later); err != nil {
		t.Fatal(err)
	}
	s.noteSize(v)
	if info, err := os.Stat(s.State.Kept(name)); err != nil || !info.ModTime().Equal(later) || info.Size() != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

// The engine measures if it is on another machine.
func TestMeasureElsewhere(t *testing.T) {
	s, e := taken(t, 1)
	e.sizes = map[string]int64{name: 5 << 30}
	for n, local := range []bool{false, true} {
		s.Local = local
		all := []Volume{only(t, s)}
		if local {
			all[0].Path = "/nowhere"
		}
		if err := s.Measure(t.Context(), all, true); err != nil || all[0].Size.Bytes != 5<<30 {
			t.Errorf("%d: %+v, %v", n, all, err)
		}
	}
}

// A measurement that does not end in time leaves the size unknown, without an error.
func TestMeasureEnds(t *testing.T) {
	s, _ := taken(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all := []Volume{only(t, s)}
	if err := s.Measure(ctx, all, false); err != nil || all[0].Size.Known {
		t.Errorf("%+v, %v", all, err)
	}
}

// A volume that exceeds the limits for counting is too large, whatever its bytes.
func TestTooMuchToCount(t *testing.T) {
	dir := t.TempDir()
	for n := range 5 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(n), "a/b/c"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []walk.Limits{{Entries: 3, Depth: 10}, {Entries: 1000, Depth: 2}} {
		size, err := measure(t.Context(), dir, l)
		if err != nil || !size.Excess || !size.Known {
			t.Fatalf("%+v, %v", size, err)
		}
		v := Volume{Size: size}
		if v.tooLarge(1<<40) == "" || v.tooLarge(0) != "" {
			t.Errorf("%+v: %q, %q", l, v.tooLarge(1<<40), v.tooLarge(0))
		}
	}
}

// Only the next job reports that a volume was removed because it was too large.
func TestRemoveTooLarge(t *testing.T) {
	s, _ := taken(t, 1<<20)
	all := []Volume{only(t, s)}
	if err := s.Measure(t.Context(), all, false); err != nil {
		t.Fatal(err)
	}
	if large := all[0].tooLarge(1 << 19); !strings.Contains(large, "more than 512KiB") {
		t.Fatalf("%q", large)
	}
	if gone, err := s.removeTooLarge(t.Context(), all[0]); !gone || err != nil {
		t.Fatal(gone, err)
	}
	if left, err := s.List(t.Context()); err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	if err := s.forgetGone(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, want := range []int64{all[0].Size.Bytes, 0} {
		hold, lost, err := s.takeVolume(t.Context(), name, nil, true)
		if err != nil || hold == nil || lost.Bytes != want || lost.Known != (want > 0) {
			t.Fatalf("%d: %+v, %v", n, lost, err)
		}
		hold.Release()
		if v := only(t, s); v.Size.Known {
			t.Errorf("%d: the size of the volume that is gone is taken for the new one's: %+v", n, v)
		}
	}
}

// A volume that a job uses, is about to use or has used since is not removed.
func TestRemoveInUse(t *testing.T) {
	s, e := taken(t, 1)
	v := only(t, s)
	wantStays := func(why string) {
		t.Helper()
		for _, dryRun := range []bool{true, false} {
			if gone, err := s.Remove(t.Context(), v, dryRun); gone || err != nil {
				t.Errorf("%s: %v, %v", why, gone, err)
			}
		}
		if gone, err := s.removeTooLarge(t.Context(), v); gone || err != nil {
			t.Errorf("%s: %v, %v", why, gone, err)
		}
	}
	e.users[name] = true
	wantStays("a container has it")
	if hold, _, err := s.takeVolume(t.Context(), name, nil, true); hold != nil || err != nil {
		t.Errorf("two jobs have it: %v", err)
	}
	e.users[name] = false
	hold, err := s.State.Hold(name, false)
	if err != nil {
		t.Fatal(err)
	}
	wantStays("a job is about to get it")
	hold.Release()
	v.LastUse = v.LastUse.Add(-time.Second)
	wantStays("a job has had it since")
	if gone, err := s.Remove(t.Context(), only(t, s), false); !gone || err != nil {
		t.Error(gone, err)
	}
	if left, _ := filepath.Glob(s.State.Kept("*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Files of volumes that another program has removed are removed, and no other files.
func TestForget(t *testing.T) {
	s, e := taken(t, 1)
	other := s.State.Kept("gsx-images-1")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names := func() []string {
		all, err := filepath.Glob(s.State.Kept("*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if err := s.forgetGone(t.Context()); err != nil || len(names()) != 2 {
		t.Errorf("%v, %v", names(), err)
	}
	if err := e.RemoveVolume(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := s.forgetGone(t.Context()); err != nil || !slices.Equal(names(), []string{other}) {
		t.Errorf("%v, %v", names(), err)
	}
}

// A file with any other content has no size.
func TestNoteThatCannotBeRead(t *testing.T) {
	s, _ := taken(t, 1)
	for _, text := range []string{"", "{", "null", strings.Repeat("x", 1<<20), `{"size": {"known": true, "Bytes": -5}}`} {
		last := only(t, s).LastUse
		if err := os.WriteFile(s.State.Kept(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(s.State.Kept(name), last, last); err != nil {
			t.Fatal(err)
		}
		if v := only(t, s); v.Size.Known {
			t.Errorf("%.20q: %+v", text, v)
		}
	}
}
