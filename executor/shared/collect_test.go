package shared

import (
	"os"
	"slices"
	"testing"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
)

// Only a container that was made to fill the store is removed as a fill container.
func TestHostileFillContainer(t *testing.T) {
	const name = "gsx-0123abcd-p1-j2"
	m := &memory{}
	s := testStore(t, m)
	label := map[string]string{job.LabelImages: s.ID()}
	jobs := map[string]string{job.LabelName: name, job.LabelImages: s.ID()}
	m.containers = []engine.Found{
		{ID: "ours", Name: s.volume(3), Labels: job.ContainerLabels(label)},
		{ID: "another's", Name: "web", Labels: label},
		{ID: "a job's", Name: name, Labels: jobs},
		{ID: "a job's of our name", Name: s.volume(3), Labels: jobs},
	}
	if err := os.Mkdir(s.FillFolder(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveFillContainers(t.Context()); err != nil || !slices.Equal(m.removed, []string{"ours"}) {
		t.Errorf("removed %q: %v", m.removed, err)
	}
	if _, err := os.Stat(s.FillFolder()); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}

// While the store is being filled, gc keeps the fill container, and a dry run does not report the new
// generation.
func TestCollectBesideAFill(t *testing.T) {
	m := &memory{}
	s := testStore(t, m)
	m.volumes = []engine.Found{{Name: s.volume(1)}, {Name: s.volume(2)}, {Name: s.volume(3)}}
	m.containers = []engine.Found{{ID: "fills", Name: s.volume(3)}}
	setCurrent(t, s, s.generation(2))
	unlock, ok, err := s.State.TryLockImages()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	filled, err := s.State.Hold(s.volume(3), true)
	if filled == nil || err != nil {
		t.Fatal(filled, err)
	}
	want := func(o removal.Options, action removal.Action, numbers ...int) {
		t.Helper()
		var all []removal.Collected
		for _, n := range numbers {
			all = append(all, removal.Collected{Name: s.volume(n), Action: action, Reason: oldReason})
		}
		got, err := s.Collect(t.Context(), o)
		if err != nil || !slices.EqualFunc(got, all, func(a, b removal.Collected) bool {
			return a.Name == b.Name && a.Action == b.Action && a.Reason == b.Reason
		}) {
			t.Errorf("got %+v, want %+v: %v", got, all, err)
		}
	}
	want(removal.Options{DryRun: true}, removal.WouldRemove, 1)
	want(removal.Options{}, removal.Removed, 1)
	if slices.Contains(m.removed, "fills") {
		t.Error("the fill container was removed")
	}
	unlock()
	filled.Release()
	want(removal.Options{DryRun: true}, removal.WouldRemove, 1, 3)
	want(removal.Options{}, removal.Removed, 1, 3)
	if !slices.Contains(m.removed, "fills") {
		t.Error("the fill container was not removed")
	}
}

// Without a store, the engine gets no requests.
func TestCollectWithoutAStore(t *testing.T) {
	s := &Store{State: testStore(t, nil).State + "/none"}
	if all, err := s.Collect(t.Context(), removal.Options{}); err != nil || len(all) > 0 {
		t.Errorf("%+v %v", all, err)
	}
	if dropped, err := s.DropOld(t.Context()); err != nil || len(dropped) > 0 {
		t.Errorf("%v %v", dropped, err)
	}
}

// RemoveAll also removes the current generation; a dry run removes nothing.
func TestRemoveAll(t *testing.T) {
	m := &memory{}
	s := testStore(t, m)
	m.volumes = []engine.Found{{Name: s.volume(1)}, {Name: s.volume(2)}}
	setCurrent(t, s, s.generation(2))
	for _, tc := range []struct {
		o      removal.Options
		action removal.Action
	}{{removal.Options{DryRun: true}, removal.WouldRemove}, {removal.Options{}, removal.Removed}} {
		all, err := s.RemoveAll(t.Context(), tc.o)
		if err != nil || len(all) != 2 || all[0].Action != tc.action || all[1].Action != tc.action {
			t.Errorf("%+v: %+v, %v", tc.o, all, err)
		}
		if current, err := s.Current(); err != nil || (current.Volume == "") == tc.o.DryRun {
			t.Errorf("%+v: the current one is %q, %v", tc.o, current.Volume, err)
		}
	}
}
