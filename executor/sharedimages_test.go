package executor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
