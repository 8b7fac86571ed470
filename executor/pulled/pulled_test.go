package pulled

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/statedir"
)

// images is an engine with a registry. It treats names as dockerd does: a pull by name takes the name
// from the image that had it, and a removal by ID is refused for an image with several names.
type images struct {
	mu       sync.Mutex
	registry map[string]string   // tag: ID
	names    map[string][]string // ID: tags and digests
	used     map[string]bool
	removed  []string // names and IDs that were to be removed
	// pulling is called at the end of a pull; its error is the result of the pull.
	pulling func(ref string) error
	looking func(ref string) // called before an image is looked up
}

func newImages(registry map[string]string) *images {
	return &images{registry: registry, names: map[string][]string{}, used: map[string]bool{}}
}

func id(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func digest(ref, id string) string { return image.Repository(ref) + "@" + id }

func (e *images) find(name string) (string, bool) {
	if _, ok := e.names[name]; ok {
		return name, true
	}
	for id, names := range e.names {
		if slices.Contains(names, name) {
			return id, true
		}
	}
	return "", false
}

func (e *images) InspectImage(ctx context.Context, ref, platform string) (engine.Image, error) {
	names, err := e.ImageNames(ctx, ref, platform)
	return engine.Image{ID: names.ID, Digests: names.Digests}, err
}

func (e *images) ImageNames(_ context.Context, ref, _ string) (engine.NamedImage, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looking != nil {
		e.looking(ref)
	}
	id, ok := e.find(ref)
	if !ok {
		return engine.NamedImage{}, fmt.Errorf("no such image: %s: %w", ref, cerrdefs.ErrNotFound)
	}
	img := engine.NamedImage{ID: id, Size: 1000}
	for _, name := range e.names[id] {
		if strings.Contains(name, "@") {
			img.Digests = append(img.Digests, name)
		} else {
			img.Tags = append(img.Tags, name)
		}
	}
	return img, nil
}

func (e *images) Pull(_ context.Context, ref, _ string, _ image.Credentials, _ func(engine.Progress)) error {
	e.mu.Lock()
	id, ok := e.registry[ref]
	if ok {
		e.take(ref)
		e.give(id, ref, digest(ref, id))
	}
	pulling := e.pulling
	e.mu.Unlock()
	if !ok {
		return fmt.Errorf("no such tag: %w", cerrdefs.ErrNotFound)
	}
	if pulling != nil {
		return pulling(ref)
	}
	return nil
}

func (e *images) give(id string, names ...string) {
	for _, name := range names {
		if !slices.Contains(e.names[id], name) {
			e.names[id] = append(e.names[id], name)
		}
	}
}

func (e *images) take(name string) {
	if id, ok := e.find(name); ok {
		e.names[id] = slices.DeleteFunc(e.names[id], func(n string) bool { return n == name })
	}
}

func (e *images) ImageIDs(context.Context) (all []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.names {
		all = append(all, id)
	}
	return all, nil
}

func (e *images) ImageUsed(_ context.Context, id string) (bool, error) { return e.used[id], nil }

func (e *images) RemoveImage(_ context.Context, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removed = append(e.removed, name)
	id, ok := e.find(name)
	if !ok {
		return cerrdefs.ErrNotFound
	}
	tags, repositories := 0, map[string]bool{}
	for _, n := range e.names[id] {
		repositories[image.Repository(n)] = true
		if !strings.Contains(n, "@") {
			tags++
		}
	}
	if name == id {
		if tags > 1 || len(repositories) > 1 || e.used[id] {
			return cerrdefs.ErrConflict
		}
		delete(e.names, id)
		return nil
	}
	e.take(name)
	if len(e.names[id]) == 0 {
		delete(e.names, id)
	}
	return nil
}

func newStore(t *testing.T, e *images) *Store {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	return &Store{State: statedir.Dir(t.TempDir()), Engine: e, Log: log}
}

// get gets an image for a job that ends at once.
func get(t *testing.T, s *Store, ref string, policies ...image.Policy) {
	t.Helper()
	if policies == nil {
		policies = []image.Policy{image.Always}
	}
	_, release, err := s.Get(t.Context(), image.Request{Reference: ref, Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func list(t *testing.T, s *Store) []Image {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func remove(t *testing.T, s *Store, i Image) Removal {
	t.Helper()
	would, err := s.Remove(t.Context(), i, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Remove(t.Context(), i, false)
	if err != nil || would.Gone != r.Gone || would.Why != r.Why {
		t.Fatalf("%+v, %v; a dry run said %+v", r, err, would)
	}
	return r
}

const (
	one    = "registry.test/group/image:1"
	two    = "registry.test/group/image:2"
	mirror = "mirror.test/image:1"
)

// Images that were there before, by any name, are not recorded; images that a job pulled are.
func TestWhatIsOurs(t *testing.T) {
	for name, tt := range map[string]struct {
		before []string // names of the image
		want   bool
	}{
		"nothing was there":       {nil, true},
		"the same name":           {[]string{one, digest(one, id(1))}, false},
		"another tag":             {[]string{two, digest(two, id(1))}, false},
		"another repository":      {[]string{mirror}, false},
		"a digest":                {[]string{digest(one, id(1))}, false},
		"an image without a name": {[]string{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newImages(map[string]string{one: id(1)})
			if tt.before != nil {
				e.names[id(1)] = tt.before
			}
			s := newStore(t, e)
			for _, p := range []image.Policy{image.IfNotPresent, image.Always} {
				get(t, s, one, p)
				if all := list(t, s); (len(all) == 1) != tt.want {
					t.Errorf("%s: %+v", p, all)
				}
			}
			if all := list(t, s); tt.want && (all[0].ID != id(1) || !slices.Equal(all[0].References, []string{one})) {
				t.Errorf("%+v", all)
			}
			if left, _ := filepath.Glob(filepath.Join(s.State.Pulled(), "pull-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// Each use by a job counts, whatever the pull policy.
func TestUse(t *testing.T) {
	s := newStore(t, newImages(map[string]string{one: id(1)}))
	get(t, s, one)
	for _, r := range []string{one, id(1)} {
		then := time.Now().Add(-time.Hour)
		if err := os.Chtimes(s.State.PulledImage(number(id(1))), then, then); err != nil {
			t.Fatal(err)
		}
		get(t, s, r, image.IfNotPresent)
		if all := list(t, s); len(all) != 1 || time.Since(all[0].LastUse) > time.Minute || len(all[0].References) != 1 {
			t.Errorf("%s: %+v", r, all)
		}
	}
}

func TestRemove(t *testing.T) {
	for name, tt := range map[string]struct {
		pulls  []string
		change func(*images)
		why    string // part of the reason why it stays
		asked  []string
	}{
		"one tag":          {[]string{one}, nil, "", []string{id(1)}},
		"two tags":         {[]string{one, two}, nil, "", []string{one, id(1)}},
		"two repositories": {[]string{one, mirror}, nil, "", []string{one, digest(one, id(1)), id(1)}},
		"the tag is another image's now": {[]string{one}, func(e *images) {
			e.registry[one] = id(2)
			e.take(one)
			e.give(id(2), one)
		}, "", []string{id(1)}},
		"gone already":           {[]string{one}, func(e *images) { delete(e.names, id(1)) }, "", nil},
		"a container has it":     {[]string{one}, func(e *images) { e.used[id(1)] = true }, "a container uses it", nil},
		"somebody else's tag":    {[]string{one}, func(e *images) { e.give(id(1), "my/image:keep") }, "it has the name my/image:keep", nil},
		"somebody else's of it":  {[]string{one}, func(e *images) { e.give(id(1), two) }, "it has the name " + two, nil},
		"somebody else's digest": {[]string{one}, func(e *images) { e.give(id(1), digest(mirror, id(1))) }, "it has the name mirror.test/image@", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newImages(map[string]string{one: id(1), two: id(1), mirror: id(1)})
			s := newStore(t, e)
			for _, ref := range tt.pulls {
				get(t, s, ref)
			}
			if tt.change != nil {
				tt.change(e)
			}
			names := slices.Clone(e.names[id(1)])
			r := remove(t, s, list(t, s)[0])
			_, there := e.names[id(1)]
			if r.Gone != (tt.why == "") || there != (tt.why != "") || tt.why != "" && !strings.Contains(r.Why, tt.why) {
				t.Errorf("%+v, there %v", r, there)
			}
			if !slices.Equal(e.removed, tt.asked) {
				t.Errorf("asked to remove %q, want %q", e.removed, tt.asked)
			}
			if there && !slices.Equal(e.names[id(1)], names) {
				t.Errorf("its names are %q", e.names[id(1)])
			}
			if (len(list(t, s)) == 1) != there {
				t.Errorf("noted: %+v", list(t, s))
			}
		})
	}
}

// An image stays from the time that a job gets it until the job releases it.
func TestRemoveBesideAJob(t *testing.T) {
	e := newImages(map[string]string{one: id(1)})
	s := newStore(t, e)
	_, release, err := s.Get(t.Context(), image.Request{Reference: one, Policies: []image.Policy{image.Always}})
	if err != nil {
		t.Fatal(err)
	}
	listed := list(t, s)[0]
	if r := remove(t, s, listed); r.Gone || r.Why != "a job is about to use it" {
		t.Errorf("%+v", r)
	}
	release()
	listed.LastUse = listed.LastUse.Add(-time.Second)
	if r := remove(t, s, listed); r.Gone || r.Why != "a job has just used it" {
		t.Errorf("%+v", r)
	}
	if r := remove(t, s, list(t, s)[0]); !r.Gone || len(e.names) > 0 || len(list(t, s)) > 0 {
		t.Errorf("%+v, %v", r, e.names)
	}
}

// An image that is removed between a job's lookup and its hold is pulled again.
func TestRemovedBeforeItIsHeld(t *testing.T) {
	e := newImages(map[string]string{one: id(1)})
	s := newStore(t, e)
	get(t, s, one)
	looked := 0
	e.looking = func(ref string) {
		if ref != id(1) { // otherwise it is being held
			return
		}
		if looked++; looked == 1 {
			delete(e.names, id(1))
		}
	}
	img, release, err := s.Get(t.Context(), image.Request{Reference: one, Policies: []image.Policy{image.Always}})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, ok := e.names[img.ID]; !ok {
		t.Errorf("the job gets %s, which is gone", img.ID)
	}
	if looked != 2 {
		t.Errorf("%d looks at what is held", looked)
	}
	e.looking = func(ref string) {
		if ref == id(1) {
			delete(e.names, id(1))
		}
	}
	if _, _, err := s.Get(t.Context(), image.Request{Reference: one, Policies: []image.Policy{image.Always}}); err == nil || !strings.Contains(err.Error(), "was repeatedly removed") {
		t.Errorf("an image that is removed all the time: %v", err)
	}
}

// If the process of a pull dies, the next gc records the pull, whatever its result.
func TestPullOfADeadProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		come func(*images)
		want int
	}{
		"the image has come":         {func(e *images) { e.give(id(1), one, digest(one, id(1))) }, 1},
		"nothing has come":           {func(*images) {}, 0},
		"the old one is still there": {func(e *images) { e.give(id(7), one) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := newImages(nil)
			e.names[id(7)] = []string{}
			s := newStore(t, e)
			p, err := s.begin(t.Context(), one, "")
			if err != nil {
				t.Fatal(err)
			}
			_, dies, err := s.write(p)
			if err != nil {
				t.Fatal(err)
			}
			tt.come(e)
			if err := s.Settle(t.Context()); err != nil || len(list(t, s)) != 0 {
				t.Errorf("noted while the pull goes on: %+v, %v", list(t, s), err)
			}
			dies()
			if err := s.Settle(t.Context()); err != nil || len(list(t, s)) != tt.want {
				t.Errorf("%+v, %v", list(t, s), err)
			}
			if left, _ := filepath.Glob(filepath.Join(s.State.Pulled(), "pull-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// The engine may complete a pull that was cancelled, so gc checks. A pull that the registry refuses
// leaves no file.
func TestPullThatFails(t *testing.T) {
	e := newImages(map[string]string{one: id(1)})
	s := newStore(t, e)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cancelled")
	e.pulling = func(string) error { cancel(cause); return cause }
	if _, _, err := s.Get(ctx, image.Request{Reference: one, Policies: []image.Policy{image.Always}}); err == nil {
		t.Fatal("it was not given up")
	}
	if err := s.Settle(t.Context()); err != nil || len(list(t, s)) != 1 {
		t.Errorf("%+v, %v", list(t, s), err)
	}
	if _, _, err := s.Get(t.Context(), image.Request{Reference: two, Policies: []image.Policy{image.Always}}); err == nil {
		t.Fatal("it is in no registry")
	}
	if left, _ := filepath.Glob(filepath.Join(s.State.Pulled(), "pull-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// An author may give one image any number of names. The record is limited in size, and the image can be
// removed.
func TestManyNames(t *testing.T) {
	e := newImages(map[string]string{})
	s := newStore(t, e)
	for n := range mostReferences + 20 {
		ref := fmt.Sprintf("registry.test/image:%d", n)
		e.registry[ref] = id(1)
		get(t, s, ref)
	}
	info, err := os.Stat(s.State.PulledImage(number(id(1))))
	if err != nil || info.Size() > longestRecord/10 {
		t.Fatal(info, err)
	}
	if r := remove(t, s, list(t, s)[0]); !r.Gone || len(e.names) > 0 {
		t.Errorf("%+v, %d left", r, len(e.names))
	}
}

// Several jobs pull the same image by different names at once, and all record it.
func TestAtOnce(t *testing.T) {
	e := newImages(map[string]string{one: id(1), two: id(1), mirror: id(1)})
	s := newStore(t, e)
	var wg sync.WaitGroup
	for n := range 9 {
		wg.Go(func() {
			_, release, err := s.Get(t.Context(), image.Request{Reference: []string{one, two, mirror}[n%3], Policies: []image.Policy{image.Always}})
			if err != nil {
				t.Error(err)
				return
			}
			release()
		})
	}
	wg.Wait()
	if all := list(t, s); len(all) != 1 || len(all[0].References) != 3 {
		t.Errorf("%+v", all)
	}
}

// A job that finds the image of another job's pull, before that pull is recorded, records its own name
// of it. Otherwise gc would take the name for a user's and keep the image forever.
func TestPullBesideAnUnrecordedOne(t *testing.T) {
	e := newImages(map[string]string{one: id(1), two: id(1)})
	s := newStore(t, e)
	e.pulling = func(ref string) error {
		if ref == one {
			get(t, s, two)
		}
		return nil
	}
	get(t, s, one)
	if all := list(t, s); len(all) != 1 || len(all[0].References) != 2 {
		t.Errorf("%+v", all)
	}
	if r := remove(t, s, list(t, s)[0]); !r.Gone {
		t.Errorf("%+v", r)
	}
}

// Files of images that another program has removed are removed.
func TestForget(t *testing.T) {
	e := newImages(map[string]string{one: id(1), two: id(2)})
	s := newStore(t, e)
	get(t, s, one)
	get(t, s, two)
	delete(e.names, id(1))
	rest, err := s.Forget(t.Context(), list(t, s))
	if err != nil || len(rest) != 1 || rest[0].ID != id(2) || len(list(t, s)) != 1 {
		t.Errorf("%+v, %v, noted %+v", rest, err, list(t, s))
	}
}

// Other files in the folder must not be used as image names.
func TestListTakesIDsOnly(t *testing.T) {
	s := newStore(t, newImages(nil))
	if err := os.MkdirAll(s.State.Pulled(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", strings.Repeat("A", 64), "pull-1"} {
		if err := os.WriteFile(s.State.PulledImage(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all := list(t, s); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	for _, text := range []string{"sha256:../../x", "", "sha256:", "sha256:" + strings.Repeat("g", 64), "md5:" + strings.Repeat("0", 64)} {
		if n := number(text); n != "" {
			t.Errorf("%q is a file %q", text, n)
		}
	}
}
