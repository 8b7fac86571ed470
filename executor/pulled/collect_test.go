package pulled

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/removal"
)

// keeping is a store with the images one and two, which jobs used 3 and 2 hours ago, and an engine
// with a further image that no job pulled.
func keeping(t *testing.T) (*Store, *images) {
	t.Helper()
	e := newImages(map[string]string{one: id(1), two: id(2)})
	e.give(id(9), "my/image:keep")
	s := newStore(t, e)
	for hours, ref := range map[int]string{3: one, 2: two} {
		get(t, s, ref)
		idle(t, s, e.registry[ref], time.Duration(hours)*time.Hour)
	}
	return s, e
}

func idle(t *testing.T, s *Store, id string, d time.Duration) {
	t.Helper()
	then := time.Now().Add(-d)
	if err := os.Chtimes(s.State.PulledImage(number(id)), then, then); err != nil {
		t.Fatal(err)
	}
}

func TestCollect(t *testing.T) {
	const reason = "an image that no job has used for %d hours (gc.keep_images)"
	for _, tc := range []struct {
		name  string
		keep  time.Duration
		older time.Duration
		used  int               // the image that a container uses
		want  map[string]string // reasons; an image that stays has another reason than its age
	}{
		{name: "no limit"},
		{name: "all are newer", keep: 4 * time.Hour},
		{name: "one is older", keep: 150 * time.Minute, want: map[string]string{one: fmt.Sprintf(reason, 3)}},
		{name: "all are older", keep: time.Hour, want: map[string]string{one: fmt.Sprintf(reason, 3), two: fmt.Sprintf(reason, 2)}},
		{name: "all are older, by the command one", keep: time.Hour, older: 150 * time.Minute, want: map[string]string{one: fmt.Sprintf(reason, 3)}},
		{name: "a container has one", keep: time.Hour, used: 1, want: map[string]string{one: "a container uses it", two: fmt.Sprintf(reason, 2)}},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dry run %v", tc.name, dryRun), func(t *testing.T) {
				s, e := keeping(t)
				s.Keep, e.used[id(tc.used)] = tc.keep, true
				all, err := s.Collect(t.Context(), removal.Options{DryRun: dryRun, OlderThan: tc.older})
				if err != nil || len(all) != len(tc.want) {
					t.Fatalf("%+v, %v", all, err)
				}
				for _, c := range all {
					ref := strings.TrimPrefix(c.Name, "image ")
					stays := e.used[e.registry[ref]]
					want := removal.Removed
					switch {
					case stays:
						want = removal.Kept
					case dryRun:
						want = removal.WouldRemove
					}
					if _, there := e.names[e.registry[ref]]; c.Action != want || c.Reason != tc.want[ref] || there != (dryRun || stays) {
						t.Errorf("%+v, there %v, want %s: %s", c, there, want, tc.want[ref])
					}
				}
				if _, ok := e.names[id(9)]; !ok {
					t.Error("the image that no job pulled is gone")
				}
			})
		}
	}
}

// gc records the result of a dead process's pull, and removes files of images that are gone. A dry run
// changes nothing.
func TestCollectSettles(t *testing.T) {
	for _, dryRun := range []bool{true, false} {
		s, e := keeping(t)
		p, err := s.begin(t.Context(), mirror, "")
		if err != nil {
			t.Fatal(err)
		}
		_, dies, err := s.write(p)
		if err != nil {
			t.Fatal(err)
		}
		e.give(id(3), mirror, digest(mirror, id(3)))
		dies()
		delete(e.names, id(1))
		if all, err := s.Collect(t.Context(), removal.Options{DryRun: dryRun}); err != nil || len(all) > 0 {
			t.Errorf("%+v, %v", all, err)
		}
		var got []string
		for _, i := range list(t, s) {
			got = append(got, i.References...)
		}
		want := one + " " + two
		if !dryRun {
			want = two + " " + mirror
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("dry run %v: noted %q, want %q", dryRun, got, want)
		}
	}
}

// A gc that is stopped does not continue with further images.
func TestCollectEnds(t *testing.T) {
	s, e := keeping(t)
	ctx, cancel := context.WithCancel(t.Context())
	e.looking = func(ref string) {
		if ref == id(1) {
			cancel()
		}
	}
	s.Keep = time.Hour
	all, err := s.Collect(ctx, removal.Options{})
	if _, there := e.names[id(2)]; !errors.Is(err, context.Canceled) || len(all) != 1 || !there {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestUnused(t *testing.T) {
	for _, tc := range []struct {
		o    removal.Options
		want string
	}{
		{removal.Options{}, "one removed, two kept"},
		{removal.Options{DryRun: true}, "one would remove, two kept"},
		{removal.Options{OlderThan: 150 * time.Minute}, "one removed"},
		{removal.Options{OlderThan: 4 * time.Hour}, ""},
	} {
		s, e := keeping(t)
		e.used[id(2)] = true
		all, err := s.Unused(t.Context(), tc.o, "it is in the way")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, remove := range all {
			c, size := remove(t.Context())
			got = append(got, strings.NewReplacer("image "+one, "one", "image "+two, "two").Replace(c.Name)+" "+string(c.Action))
			if size != 1000 || c.Action != removal.Kept && c.Reason != "it is in the way" {
				t.Errorf("%+v, %d bytes", c, size)
			}
		}
		if got := strings.Join(got, ", "); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.o, got, tc.want)
		}
	}
}
