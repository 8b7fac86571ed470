package executor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

func TestGenerationOffersStores(t *testing.T) {
	g := Generation{Drivers: []string{"vfs"}, Users: []int{0, 1000}}
	const root, user = storage.ImageStores + "/vfs/0", storage.ImageStores + "/vfs/1000"
	for _, c := range []struct{ driver, user, want string }{
		{"vfs", "", root}, {"vfs", "root", root}, {"vfs", "0", root}, {"vfs", "root:wheel", root},
		{"vfs", "1000", user}, {"vfs", "1000:100", user},
		{"vfs", "1001", ""}, {"vfs", "builder", ""}, {"overlay", "0", ""},
	} {
		if got := g.storeOf(c.driver, c.user); got != c.want {
			t.Errorf("%s for %q: got %q, want %q", c.driver, c.user, got, c.want)
		}
	}
	if got := (Generation{}).stores().For("vfs", 0); got != "" {
		t.Errorf("nothing offers %q", got)
	}
}

func TestGenerationNumber(t *testing.T) {
	x, other := &Executor{StateDir: "/srv/a"}, &Executor{StateDir: "/srv/b"}
	if n := x.generationNumber(x.generationVolume(12)); n != 12 {
		t.Error(n)
	}
	for _, volume := range []string{other.generationVolume(1), x.generationVolume(0), x.generationVolume(1) + "/..", "gsx-images-1", "", x.generationVolume(1) + "x", strings.Replace(x.generationVolume(1), "-1", "-01", 1)} {
		if n := x.generationNumber(volume); n != 0 && volume != x.generationVolume(n) {
			t.Errorf("%q is taken for %d", volume, n)
		}
	}
	if x.generationNumber(other.generationVolume(1)) != 0 {
		t.Error("another state folder's generation is taken for ours")
	}
}

func TestCurrentImages(t *testing.T) {
	x := &Executor{StateDir: t.TempDir()}
	if g, err := x.CurrentImages(); err != nil || g.Volume != "" {
		t.Errorf("%+v %v", g, err)
	}
	if err := os.MkdirAll(x.state().Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	want := Generation{Number: 3, Volume: x.generationVolume(3), Drivers: []string{"vfs"}, Users: []int{0}, Images: []storage.StoredImage{{Reference: "a"}}}
	if err := x.setCurrentImages(want); err != nil {
		t.Fatal(err)
	}
	if g, err := x.CurrentImages(); err != nil || !g.same(want) || g.Volume != want.Volume {
		t.Errorf("%+v %v", g, err)
	}
	for _, text := range []string{"", "{", `{"volume": "somebody-elses"}`, `{"volume": "../../x"}`} {
		if err := os.WriteFile(x.imagesFile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if g, err := x.CurrentImages(); err == nil || !strings.Contains(err.Error(), x.imagesFile()) {
			t.Errorf("%q: %+v %v", text, g, err)
		}
	}
	if err := x.setCurrentImages(Generation{}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(x.state().Images() + "/*"); len(left) > 0 {
		t.Error(left)
	}
}

func TestWantedImages(t *testing.T) {
	current := Generation{Images: []storage.StoredImage{{Reference: "b"}, {Reference: "c"}}}
	for _, c := range []struct {
		change ImageChange
		want   []string
	}{
		{ImageChange{Pull: []string{"a", "b"}}, []string{"a", "b", "c"}},
		{ImageChange{Remove: []string{"b"}}, []string{"c"}},
		{ImageChange{Remove: []string{"b", "c"}}, nil},
	} {
		if got := wantedImages(current, c.change); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.change, got, c.want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := quote("it's $(x) \"y\"\n"); got != `'it'\''s $(x) "y"`+"\n'" {
		t.Error(got)
	}
}

// Two executors in containers of one engine may have different folders at one path.
func TestHostileStoresWithOnePath(t *testing.T) {
	first, second := &Executor{StateDir: t.TempDir()}, &Executor{StateDir: t.TempDir()}
	for _, x := range []*Executor{first, second} {
		if err := os.MkdirAll(x.state().Images(), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := second.StateDir
	if before := first.imagesID(); before != first.pathID() {
		t.Error(before)
	}
	for _, x := range []*Executor{first, second} {
		if err := x.settleImagesID(Generation{}); err != nil {
			t.Fatal(err)
		}
	}
	id := second.imagesID()
	if err := os.Rename(first.StateDir, first.StateDir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, first.StateDir); err != nil {
		t.Fatal(err)
	}
	moved := &Executor{StateDir: first.StateDir}
	away := &Executor{StateDir: first.StateDir + "-away"}
	if moved.imagesID() != id || away.imagesID() == id || len(id) != 16 {
		t.Errorf("%s has become %s, the other is %s", id, moved.imagesID(), away.imagesID())
	}
	if err := moved.settleImagesID(Generation{}); err != nil || moved.imagesID() != id {
		t.Errorf("%s %v", moved.imagesID(), err)
	}
}

// A store that an older version filled stays until nothing of it is left.
func TestStoreOfAnOlderVersion(t *testing.T) {
	x := &Executor{StateDir: t.TempDir()}
	for _, dir := range []string{x.state().Images(), filepath.Dir(x.state().Kept("x"))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	current := Generation{Number: 3, Volume: x.generationVolume(3), Images: []storage.StoredImage{{Reference: "a"}}}
	if err := x.setCurrentImages(current); err != nil {
		t.Fatal(err)
	}
	if err := x.settleImagesID(current); err != nil || x.imagesID() != x.pathID() {
		t.Errorf("%s %v", x.imagesID(), err)
	}
	lock := x.state().Kept(x.generationVolume(2)) // which a job has still
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.settleImagesID(Generation{}); err != nil || x.imagesID() != x.pathID() {
		t.Errorf("%s %v", x.imagesID(), err)
	}
	if err := x.forgetGeneration(x.generationVolume(2)); err != nil {
		t.Error(err)
	}
	if err := x.settleImagesID(Generation{}); err != nil || x.imagesID() == x.pathID() {
		t.Errorf("%s %v", x.imagesID(), err)
	}
	// What the file still names is known as ours, to be made anew.
	if g, err := x.CurrentImages(); err != nil || g.Volume != current.Volume {
		t.Errorf("%+v %v", g, err)
	}
}

// Only a container that we made to fill the store is taken for one.
func TestHostileFillContainer(t *testing.T) {
	const name = "gsx-0123abcd-p1-j2"
	x := &Executor{StateDir: t.TempDir()}
	fills := map[string]string{job.LabelImages: x.imagesID()}
	for _, c := range []struct {
		found engine.Found
		tool  bool
	}{
		{engine.Found{Name: x.generationVolume(3), Labels: job.ContainerLabels(fills)}, true},
		{engine.Found{Name: "web", Labels: fills}, false},
		{engine.Found{Name: name, Labels: map[string]string{job.LabelName: name, job.LabelImages: x.imagesID()}}, false},
		{engine.Found{Name: x.generationVolume(3), Labels: map[string]string{job.LabelName: name, job.LabelImages: x.imagesID()}}, false},
	} {
		if got := x.isTool(c.found); got != c.tool {
			t.Errorf("%+v: %t", c.found, got)
		}
	}
}
