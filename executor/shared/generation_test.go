package shared

import (
	"os"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/integration/heap"
)

func TestGenerationOffersStores(t *testing.T) {
	g := Generation{Drivers: []string{"vfs"}, Users: []int{0, 1000}}
	const root, user = storage.ImageStores + "/vfs/0", storage.ImageStores + "/vfs/1000"
	for _, c := range []struct{ driver, user, want string }{
		{"vfs", "", root}, {"vfs", "root", root}, {"vfs", "0", root}, {"vfs", "root:wheel", root},
		{"vfs", "1000", user}, {"vfs", "1000:100", user},
		{"vfs", "1001", ""}, {"vfs", "builder", ""}, {"overlay", "0", ""},
	} {
		if got := g.StoreOf(c.driver, c.user); got != c.want {
			t.Errorf("%s for %q: got %q, want %q", c.driver, c.user, got, c.want)
		}
	}
	if got := (Generation{}).Stores().For("vfs", 0); got != "" {
		t.Errorf("nothing offers %q", got)
	}
}

func TestReport(t *testing.T) {
	g := Generation{Number: 2, Volume: "v", Images: []storage.StoredImage{{}}}
	for _, c := range []struct {
		g     Generation
		store string
		want  string
	}{
		{Generation{}, "", ""},
		{g, "/store", "Shared images: generation 2, 1 images."},
		{g, "", "The shared images are not available to user 7 with the storage driver vfs (images.users)."},
	} {
		log, said := test.NewNullLogger()
		c.g.Report(log, storage.Settings{Driver: "vfs", ImageStore: c.store}, 7)
		got := ""
		if e := said.LastEntry(); e != nil {
			got = e.Message
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestGenerationNumber(t *testing.T) {
	s := &Store{State: "/srv/a"}
	const stem = "gsx-images-b068a6ce-"
	if got := s.volume(12); got != stem+"12" {
		t.Fatal(got)
	}
	for volume, want := range map[string]int{
		stem + "12": 12, stem + "1": 1,
		stem + "0": 0, stem + "-1": 0, stem + "+1": 0, stem + "01": 0, stem + "1x": 0, stem + "1/..": 0, stem: 0,
		"gsx-images-6294551d-1": 0, "gsx-images-1": 0, "x" + stem + "1": 0, "": 0,
		stem + "99999999999999999999": 0,
	} {
		if got := s.number(volume); got != want {
			t.Errorf("%q: got %d, want %d", volume, got, want)
		}
	}
	if other := (&Store{State: "/srv/b"}).volume(1); s.number(other) != 0 {
		t.Errorf("another state folder's generation %s is taken for ours", other)
	}
}

// FuzzNumber gives a volume an arbitrary name, as another user may. If it counts as a generation, the
// name must equal the one that its number gives.
func FuzzNumber(f *testing.F) {
	s := &Store{State: "/srv/a"}
	f.Add(s.volume(12))
	f.Add(s.volume(1) + "/..")
	f.Fuzz(func(t *testing.T, name string) {
		defer heap.Bounded(t)()
		if n := s.number(name); n != 0 && s.volume(n) != name {
			t.Errorf("%q is generation %d", name, n)
		}
	})
}

// Two executors in containers of one engine may have different folders at the same path.
func TestHostileStoresWithOnePath(t *testing.T) {
	first, second := testStore(t, &memory{}), testStore(t, &memory{})
	old := second.State
	if before := first.ID(); before != first.pathID() {
		t.Error(before)
	}
	for _, s := range []*Store{first, second} {
		if err := s.SettleID(Generation{}); err != nil {
			t.Fatal(err)
		}
	}
	id := second.ID()
	if err := os.Rename(string(first.State), string(first.State)+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(string(old), string(first.State)); err != nil {
		t.Fatal(err)
	}
	moved := &Store{State: first.State}
	away := &Store{State: statedir.Dir(string(first.State) + "-away")}
	if moved.ID() != id || away.ID() == id || len(id) != 16 {
		t.Errorf("%s has become %s, the other is %s", id, moved.ID(), away.ID())
	}
	if err := moved.SettleID(Generation{}); err != nil || moved.ID() != id {
		t.Errorf("%s %v", moved.ID(), err)
	}
}

// A store of an older version stays until all of it is removed.
func TestStoreOfAnOlderVersion(t *testing.T) {
	s := testStore(t, &memory{})
	current := s.generation(3)
	setCurrent(t, s, current)
	if err := s.SettleID(current); err != nil || s.ID() != s.pathID() {
		t.Errorf("%s %v", s.ID(), err)
	}
	lock := s.State.Kept(s.volume(2)) // a job still uses it
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.SettleID(Generation{}); err != nil || s.ID() != s.pathID() {
		t.Errorf("%s %v", s.ID(), err)
	}
	if err := s.Forget(s.volume(2)); err != nil {
		t.Error(err)
	}
	if err := s.SettleID(Generation{}); err != nil || s.ID() == s.pathID() {
		t.Errorf("%s %v", s.ID(), err)
	}
	// The volume in the file still counts as ours, so it can be made again.
	if g, err := s.Current(); err != nil || g.Volume != current.Volume {
		t.Errorf("%+v %v", g, err)
	}
}
