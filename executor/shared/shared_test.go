package shared

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// memory is an engine with volumes and containers.
type memory struct {
	volumes    []engine.Found
	users      map[string][]engine.Found
	containers []engine.Found
	removed    []string // IDs
}

func (m *memory) FindVolumes(context.Context, string, string) ([]engine.Found, error) {
	return m.volumes, nil
}

func (m *memory) VolumeUsers(_ context.Context, name string) ([]engine.Found, error) {
	return m.users[name], nil
}

func (m *memory) FindContainers(context.Context, string, string) ([]engine.Found, error) {
	return m.containers, nil
}

func (m *memory) RemoveContainer(_ context.Context, id string) error {
	m.removed = append(m.removed, id)
	return nil
}

// RemoveHeld implements Kept.
func (m *memory) RemoveHeld(_ context.Context, volume string) (bool, error) {
	if len(m.users[volume]) > 0 {
		return false, nil
	}
	m.removed = append(m.removed, volume)
	return true, nil
}

func testStore(t *testing.T, m *memory) *Store {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	s := &Store{State: statedir.Dir(t.TempDir()), Engine: m, Host: "unix:///x", Kept: m, Log: log}
	for _, dir := range []string{s.State.Images(), filepath.Dir(s.State.Kept("x"))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// generation is a generation with one image.
func (s *Store) generation(number int) Generation {
	return Generation{Number: number, Volume: s.volume(number), Drivers: []string{"vfs"}, Users: []int{0}, Images: []storage.StoredImage{{Reference: "docker.io/library/debian:12"}}}
}

func setCurrent(t *testing.T, s *Store, g Generation) {
	t.Helper()
	if err := s.SetCurrent(g); err != nil {
		t.Fatal(err)
	}
}

func TestCurrent(t *testing.T) {
	s := testStore(t, &memory{})
	if g, err := s.Current(); err != nil || g.Volume != "" {
		t.Errorf("%+v %v", g, err)
	}
	want := s.generation(3)
	setCurrent(t, s, want)
	if g, err := s.Current(); err != nil || !g.Same(want) || g.Volume != want.Volume {
		t.Errorf("%+v %v", g, err)
	}
	for _, text := range []string{"", "{", `{"volume": "somebody-elses"}`, `{"volume": "../../x"}`} {
		if err := os.WriteFile(s.file(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if g, err := s.Current(); err == nil || !strings.Contains(err.Error(), s.file()) {
			t.Errorf("%q: %+v %v", text, g, err)
		}
	}
	setCurrent(t, s, Generation{})
	if left, _ := filepath.Glob(s.State.Images() + "/*"); len(left) > 0 {
		t.Error(left)
	}
}

// A prepare continues without the shared images if another process holds them too long.
func TestTakeEndsInTime(t *testing.T) {
	old := takeTime
	t.Cleanup(func() { takeTime = old })
	takeTime = 200 * time.Millisecond
	s := testStore(t, &memory{})
	g := s.generation(1)
	setCurrent(t, s, g)
	hold, err := s.State.Hold(g.Volume, true)
	if err != nil || hold == nil {
		t.Fatal(hold, err)
	}
	defer hold.Release()
	ended := make(chan Generation)
	go func() {
		g, release := s.Take(t.Context())
		release()
		ended <- g
	}()
	select {
	case g := <-ended:
		if g.Volume != "" {
			t.Errorf("it has them all the same: %+v", g)
		}
	case <-time.After(10 * time.Second):
		t.Error("prepare still waits for them")
	}
}

// While a generation is held, its volume is on the engine, and no other process can remove it.
func TestHold(t *testing.T) {
	m := &memory{}
	s := testStore(t, m)
	if g, release, err := s.Hold(t.Context()); err != nil || g.Volume != "" {
		t.Errorf("an empty store: %+v %v", g, err)
	} else {
		release()
	}
	first := s.generation(1)
	setCurrent(t, s, first)
	if _, _, err := s.Hold(t.Context()); err == nil || !strings.Contains(err.Error(), "the engine at unix:///x has no volume "+first.Volume) {
		t.Errorf("without the volume: %v", err)
	}
	m.volumes = []engine.Found{{Name: first.Volume}}
	g, release, err := s.Hold(t.Context())
	if err != nil || g.Volume != first.Volume {
		t.Fatalf("%+v %v", g, err)
	}
	setCurrent(t, s, s.generation(2))
	if dropped, err := s.DropOld(t.Context()); err != nil || len(dropped) > 0 {
		t.Errorf("dropped %v while it is held: %v", dropped, err)
	}
	release()
	m.users = map[string][]engine.Found{first.Volume: {{Name: "c"}}}
	if dropped, err := s.DropOld(t.Context()); err != nil || len(dropped) > 0 {
		t.Errorf("dropped %v while a container has it: %v", dropped, err)
	}
	m.users = nil
	if dropped, err := s.DropOld(t.Context()); err != nil || strings.Join(dropped, " ") != first.Volume || strings.Join(m.removed, " ") != first.Volume {
		t.Errorf("dropped %v, removed %v: %v", dropped, m.removed, err)
	}
}

func TestList(t *testing.T) {
	const one = "gsx-0123abcd-p1-j2"
	m := &memory{}
	s := testStore(t, m)
	m.volumes = []engine.Found{{Name: s.volume(10)}, {Name: s.volume(9)}, {Name: "somebody's"}}
	m.users = map[string][]engine.Found{s.volume(9): {
		{Name: one, Labels: map[string]string{job.LabelName: one}},
		{Name: one + "-service-1", Labels: map[string]string{job.LabelName: one}},
		{Name: "web", Labels: map[string]string{job.LabelName: one}},
	}}
	setCurrent(t, s, s.generation(10))
	if err := os.WriteFile(s.State.Kept(s.volume(11)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := s.List(t.Context())
	if err != nil || len(l.Images) != 1 || len(l.Generations) != 3 {
		t.Fatalf("%+v %v", l, err)
	}
	for n, want := range []struct {
		number  int
		current bool
		jobs    string
	}{{9, false, one}, {10, true, ""}, {11, false, ""}} {
		g := l.Generations[n]
		if g.Number != want.number || g.Volume != s.volume(want.number) || g.Current != want.current || strings.Join(g.Jobs, " ") != want.jobs {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	if next, err := s.Next(t.Context(), s.generation(10)); err != nil || next.Number != 12 || next.Volume != s.volume(12) {
		t.Errorf("next: %+v %v", next, err)
	}
}
