package sharedfill

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/storage"
)

func TestWanted(t *testing.T) {
	current := shared.Generation{Images: []storage.StoredImage{{Reference: "b"}, {Reference: "c"}}}
	for _, c := range []struct {
		change Change
		want   []string
	}{
		{Change{Pull: []string{"a", "b"}}, []string{"a", "b", "c"}},
		{Change{Remove: []string{"b"}}, []string{"c"}},
		{Change{Remove: []string{"b", "c"}}, nil},
	} {
		if got := wanted(current, c.change); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.change, got, c.want)
		}
	}
}

func TestFillNeedsAnImage(t *testing.T) {
	for reference, want := range map[string]string{
		"": "images.tool_image", "Not a name": `images.tool_image "Not a name"`, "tools/buildah": "",
	} {
		err := Fill{Image: image.Request{Reference: reference}}.check()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", reference, err)
		}
	}
}

// wantStore checks that jobs see these images as that generation, and that nothing else exists.
func wantStore(t *testing.T, f *Filler, e *fake, number int, references ...string) {
	t.Helper()
	g, err := f.Shared.Current()
	if err != nil || g.Number != number || !slices.Equal(g.References(), references) {
		t.Errorf("got %+v, want generation %d with %v: %v", g, number, references, err)
	}
	var volumes []string
	if g.Volume != "" {
		volumes = []string{g.Volume}
	}
	if !slices.Equal(e.volumes, volumes) || len(e.containers) > 0 {
		t.Errorf("the engine has the volumes %v and the containers %v, want %v", e.volumes, e.containers, volumes)
	}
	if _, err := os.Stat(f.Shared.FillFolder()); !os.IsNotExist(err) {
		t.Errorf("the folder of the fill container: %v", err)
	}
}

func wantSaid(t *testing.T, entries []*logrus.Entry, text string) {
	t.Helper()
	var all []string
	for _, e := range entries {
		all = append(all, e.Message)
	}
	if !slices.Contains(all, text) {
		t.Errorf("no line %q in the log:\n%s", text, strings.Join(all, "\n"))
	}
}

// Each change with an effect makes the next generation, and the previous one is removed.
func TestChange(t *testing.T) {
	e := &fake{}
	f, said := testFiller(t, e)
	for _, step := range []struct {
		name   string
		change Change
		after  []string // the images in the store afterwards
		number int
		ran    []string // without "other"
		said   string
	}{
		{"the first pull", Change{Pull: []string{debian}}, []string{debian}, 1, []string{"pull vfs " + debian + " ''"}, "Generation 1: 1 images."},
		{"another", Change{Pull: []string{ubuntu}}, []string{debian, ubuntu}, 2, []string{"pull vfs " + ubuntu + " ''"}, "Generation 2: 2 images."},
		{
			"nothing new", Change{Refresh: true, Keep: true}, []string{debian, ubuntu}, 2,
			[]string{"pull vfs " + debian + " ''", "pull vfs " + ubuntu + " ''"}, "Nothing has changed: generation 2 stays.",
		},
		{"a removal", Change{Remove: []string{debian}}, []string{ubuntu}, 3, []string{"remove vfs " + debian}, "Generation 3: 1 images."},
		{"of the last", Change{Remove: []string{ubuntu}}, nil, 0, nil, ""},
	} {
		e.ran, e.script = nil, stores(step.after...)
		said.Reset()
		if err := f.Change(t.Context(), how(), step.change); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		wantStore(t, f, e, step.number, step.after...)
		ran := slices.DeleteFunc(e.ran, func(s string) bool { return !strings.HasPrefix(s, "pull ") && !strings.HasPrefix(s, "remove ") })
		if !slices.Equal(ran, step.ran) {
			t.Errorf("%s: ran %q, want %q", step.name, ran, step.ran)
		}
		if step.said != "" {
			wantSaid(t, said.AllEntries(), step.said)
		}
	}
}

// A store that is a copy of copies for a week is filled from nothing, or copied once more if
// an image cannot be pulled.
func TestRefreshFillsFromNothing(t *testing.T) {
	e := &fake{script: stores(debian)}
	f, said := testFiller(t, e)
	if err := f.Change(t.Context(), how(), Change{Pull: []string{debian}}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		age     time.Duration
		missing bool // the registry has the image no more
		mounts  int  // of the fill container: without the old store, or with it
		number  int
		rebuilt bool
	}{
		{"young", rebuildAfter - time.Hour, false, 3, 1, false},
		{"old, and not there", rebuildAfter, true, 3, 1, false},
		{"old", rebuildAfter, false, 2, 2, true},
	} {
		g, err := f.Shared.Current()
		if err != nil {
			t.Fatal(err)
		}
		g.Filled = time.Now().Add(-step.age)
		if err := f.Shared.SetCurrent(g); err != nil {
			t.Fatal(err)
		}
		e.script = stores(debian)
		if step.missing {
			there := e.script
			e.script = func(script string) (string, int) {
				if strings.HasPrefix(script, "pull ") {
					return "", 1
				}
				return there(script)
			}
		}
		said.Reset()
		err = f.Change(t.Context(), how(), Change{Refresh: true, Keep: true})
		if (err != nil) != step.missing {
			t.Errorf("%s: %v", step.name, err)
		}
		wantStore(t, f, e, step.number, debian)
		if g, err := f.Shared.Current(); err != nil || time.Since(g.Filled) < time.Hour != step.rebuilt || len(e.made.Mounts) != step.mounts {
			t.Errorf("%s: filled %s, %d mounts, %v", step.name, g.Filled, len(e.made.Mounts), err)
		}
	}
}

// The fill container has the runtime of the jobs, sees the last generation read-only, and has the label
// for its removal.
func TestFillContainer(t *testing.T) {
	e := &fake{script: stores(debian, ubuntu)}
	f, _ := testFiller(t, e)
	for _, r := range []string{debian, ubuntu} {
		if err := f.Change(t.Context(), how(), Change{Pull: []string{r}}); err != nil {
			t.Fatal(err)
		}
	}
	c := e.made
	if c.Runtime != "sysbox-runc" || c.Labels[job.LabelImages] != f.Shared.ID() || c.Labels[job.LabelName] != "" || c.Image != "sha256:tool" {
		t.Errorf("%+v", c)
	}
	if n := slices.IndexFunc(c.Env, func(kv string) bool { return kv == "TMPDIR="+tempDir }); n < 0 {
		t.Errorf("%q", c.Env)
	}
	writable := []string{}
	for _, m := range c.Mounts {
		if !m.ReadOnly {
			writable = append(writable, m.Target)
		}
	}
	if len(c.Mounts) != 3 || !slices.Equal(writable, []string{newDir}) {
		t.Errorf("%+v", c.Mounts)
	}
	e.refused = errors.New("no")
	if err := f.Change(t.Context(), how(), Change{Refresh: true}); err == nil || !strings.Contains(err.Error(), "with runtime sysbox-runc") {
		t.Error(err)
	}
	wantStore(t, f, e, 2, debian, ubuntu)
}

// If a change fails, jobs see the same images. The job is not at fault.
func TestChangeFails(t *testing.T) {
	e := &fake{script: stores(debian)}
	f, _ := testFiller(t, e)
	if err := f.Change(t.Context(), how(), Change{Pull: []string{debian}}); err != nil {
		t.Fatal(err)
	}
	err := f.Change(t.Context(), how(), Change{Pull: []string{ubuntu}})
	if _, jobs := errors.AsType[*agentclient.ScriptError](err); err == nil || jobs || err.Error() != "pulling "+ubuntu+": exit code 7" {
		t.Errorf("%T %v", err, err)
	}
	wantStore(t, f, e, 1, debian)
	// With Keep the other images are pulled even so.
	e.script = stores(debian, "docker.io/library/alpine:3")
	err = f.Change(t.Context(), how(), Change{Pull: []string{ubuntu, "docker.io/library/alpine:3"}, Keep: true})
	if err == nil || err.Error() != "not pulled: "+ubuntu+"; the store keeps the versions that it has" {
		t.Error(err)
	}
	wantStore(t, f, e, 2, "docker.io/library/alpine:3", debian)
	ctx, cancel := context.WithCancelCause(t.Context())
	e.script = func(string) (string, int) { cancel(errors.New("enough")); return "", 1 }
	if err := f.Change(ctx, how(), Change{Refresh: true, Keep: true}); err == nil || err.Error() != "copying the store was stopped: enough" {
		t.Error(err)
	}
	wantStore(t, f, e, 2, "docker.io/library/alpine:3", debian)
}

// If the engine has lost the volume, the store is filled again.
func TestChangeOfALostStore(t *testing.T) {
	e := &fake{script: stores(debian, ubuntu)}
	f, said := testFiller(t, e)
	if err := f.Change(t.Context(), how(), Change{Pull: []string{debian}}); err != nil {
		t.Fatal(err)
	}
	e.volumes, e.ran = nil, nil
	said.Reset()
	if err := f.Change(t.Context(), how(), Change{Pull: []string{ubuntu}}); err != nil {
		t.Fatal(err)
	}
	g, err := f.Shared.Current()
	if err != nil {
		t.Fatal(err)
	}
	wantStore(t, f, e, g.Number, debian, ubuntu)
	if !slices.Contains(e.ran, "pull vfs "+debian+" ''") {
		t.Errorf("ran %q", e.ran)
	}
	if first := said.AllEntries()[0]; first.Level != logrus.WarnLevel || !strings.Contains(first.Message, "has no volume") {
		t.Errorf("%+v", first)
	}
}

// A change that is impossible or has no effect makes no request to the engine.
func TestChangeIsChecked(t *testing.T) {
	e := &fake{script: stores(debian)}
	f, said := testFiller(t, e)
	if err := f.Change(t.Context(), Fill{}, Change{Refresh: true, Keep: true}); err != nil {
		t.Error(err)
	}
	wantSaid(t, said.AllEntries(), "There is nothing to refresh: the store is empty, and images.references names nothing.")
	if err := f.Change(t.Context(), Fill{}, Change{Pull: []string{debian}}); err == nil || !strings.Contains(err.Error(), "images.tool_image") {
		t.Error(err)
	}
	if err := f.Change(t.Context(), how(), Change{Pull: []string{debian}}); err != nil {
		t.Fatal(err)
	}
	e.ran = nil
	err := f.Change(t.Context(), how(), Change{Remove: []string{ubuntu}})
	if err == nil || err.Error() != "image "+ubuntu+" is not in the store, which has: "+debian || len(e.ran) > 0 {
		t.Errorf("ran %q: %v", e.ran, err)
	}
	wantStore(t, f, e, 1, debian)
}

// Changes wait for each other.
func TestChangeWaits(t *testing.T) {
	f, said := testFiller(t, &fake{})
	unlock, ok, err := f.Shared.State.TryLockImages()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 250*time.Millisecond, errors.New("enough"))
	defer cancel()
	if err := f.Change(ctx, how(), Change{Refresh: true}); err == nil || err.Error() != "waiting for another `images` command: enough" {
		t.Error(err)
	}
	if n := len(said.AllEntries()); n != 1 {
		t.Errorf("it said %d lines", n)
	}
}

// The agent that a fill container sees is a copy: the container has no inode of the host's program.
func TestHostileFillContainerSeesACopy(t *testing.T) {
	f, _ := testFiller(t, &fake{})
	if err := f.makeFolder(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Stat(f.Shared.FillFolder() + strings.TrimPrefix(agent.Path, agent.Dir))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Stat(self)
	if err != nil || os.SameFile(ours, theirs) || ours.Size() != theirs.Size() {
		t.Errorf("%v %v: %v", ours, theirs, err)
	}
}
