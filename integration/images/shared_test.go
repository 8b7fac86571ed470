package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// sharing is a place whose jobs share images, and a registry that tells what it
// was asked.
type sharing struct {
	*harness.Place
	front *registry.Front
	auth  string // a file with the registry's password
}

func newSharing(t *testing.T, other string) *sharing {
	t.Helper()
	r, err := harness.Registry()
	if err != nil {
		t.Fatal(err)
	}
	address, err := harness.World.Engine.HostAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	front, err := registry.NewFront(address, r.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	dir := t.TempDir()
	s := &sharing{front: front, auth: filepath.Join(dir, "auth.json")}
	if err := os.WriteFile(s.auth, []byte(harness.AuthConfig(front.Address, registry.Password)), 0o600); err != nil {
		t.Fatal(err)
	}
	registries, err := os.CreateTemp(harness.World.Dir, "registries-*.conf")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(registries, "[[registry]]\nlocation = %q\ninsecure = true\n", front.Address)
	if err := registries.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	registries.Close()
	s.Place = harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[gc]\ninterval = \"0s\"\n\n[images]\ntool_image = %q\nvolumes = [\"%s:/etc/containers/registries.conf.d/test.conf:ro\"]\n%s",
		harness.Image(t, "buildah"), registries.Name(), other)})
	return s
}

// push puts a small image whose /srv/version is what is given into the registry,
// and returns the name by which the front has it.
func (s *sharing) push(t *testing.T, name, version string) string {
	t.Helper()
	r, err := harness.Registry()
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{
		{Name: "srv/version", Mode: 0o644}, {Name: "srv/secret", Mode: 0o600}, {Name: "srv/setuid", Mode: 0o4755},
		{Name: "srv/www", Mode: 0o640, Uid: 33, Gid: 33}, {Name: "srv/user", Mode: 0o600, Uid: 1000, Gid: 1000},
	} {
		h.Size = int64(len(version) + 1)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(version + "\n"))
	}
	w.Close()
	ref := r.Address + "/" + name + ":latest"
	if err := harness.World.Engine.AddLayer(t.Context(), harness.Image(t, "no-shell"), ref, archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := harness.World.Engine.Push(t.Context(), ref, registry.User, registry.Password); err != nil {
		t.Fatal(err)
	}
	if err := harness.World.Engine.RemoveImage(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return s.front.Address + "/" + name + ":latest"
}

// command is one of `images`.
func (s *sharing) command(verb string, args ...string) *exec.Cmd {
	all := append(append([]string{"images", verb}, s.Runner.Driver.ConfigArgs[1:]...), args...)
	if verb == "pull" || verb == "refresh" {
		all = append(all, "--authfile", s.auth)
	}
	return exec.Command(harness.World.Binary, all...)
}

func (s *sharing) images(t *testing.T, verb string, args ...string) string {
	t.Helper()
	out, err := s.command(verb, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("images %s %v: %v\n%s", verb, args, err, out)
	}
	if strings.Contains(string(out), registry.Password) || strings.Contains(string(out), harness.BasicAuth(registry.Password)) {
		t.Errorf("images %s tells the password:\n%s", verb, out)
	}
	return string(out)
}

func (s *sharing) list(t *testing.T) (l shared.Listing) {
	t.Helper()
	out, err := s.command("list", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &l)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return l
}

// volumes are those of generations.
func (s *sharing) volumes(t *testing.T) (names []string) {
	t.Helper()
	for _, g := range s.list(t).Generations {
		names = append(names, g.Volume)
	}
	return names
}

// empty removes all from the store and wants nothing left of it.
func (s *sharing) empty(t *testing.T) {
	t.Helper()
	for _, i := range s.list(t).Images {
		s.images(t, "remove", i.Reference)
	}
	if l := s.list(t); len(l.Images)+len(l.Generations) > 0 {
		t.Errorf("left: %+v", l)
	}
}

// building builds from a shared image and prints what the image holds and whose
// it is there. It reads that from the built image, because Buildah may lose the output
// of a RUN step.
func building(ref string, tools ...string) []string {
	script := []string{
		"export PODMAN_IGNORE_CGROUPSV1_WARNING=1",
		harness.Lines(
			"mkdir -p context && cp /bin/busybox context/",
			"cat >context/Dockerfile <<'END'",
			"FROM "+ref,
			"COPY busybox /bin/busybox",
			`RUN ["/bin/busybox", "sh", "-c", "{ /bin/busybox cat /srv/version; /bin/busybox stat -c '%a %u:%g %n' /srv/*; } >/report"]`,
			"END",
		),
	}
	for _, tool := range tools {
		script = append(script,
			tool+" build --isolation chroot --layers=false --format docker --iidfile id context",
			"c=$(buildah from --pull-never $(cat id))",
			`read="cat \$(buildah mount $c)/report"; [ "$(id -u)" = 0 ] || read="buildah unshare sh -c '$read'"`,
			"eval \"$read\" | sed 's/^/"+tool+" /'")
	}
	return script
}

// wantBuiltFrom wants the tools to have found the version, with its owners.
func wantBuiltFrom(t *testing.T, r *runner.Call, version string, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		for _, line := range []string{version, "600 0:0 /srv/secret", "4755 0:0 /srv/setuid", "640 33:33 /srv/www", "600 1000:1000 /srv/user"} {
			if !r.Output.Has(tool + " " + line) {
				t.Errorf("no %q\n%s", tool+" "+line, r)
				return
			}
		}
	}
}

// A job whose base image is in the shared store builds without any
// request to the registry, while a refresh runs beside it.
func TestSharedImagesNeedNoPull(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "")
	ref := s.push(t, "shared/base", "version one")
	s.images(t, "pull", ref)
	if n := len(s.front.Asked()); n < 3 {
		t.Errorf("the pull asked the registry for %d things", n)
	}
	s.push(t, "shared/base", "version two")
	release := s.front.Hold()
	defer release()
	refresh := s.command("refresh")
	var said bytes.Buffer
	refresh.Stdout, refresh.Stderr = &said, &said
	if err := refresh.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the refresh asks the registry", s.front.Waiting)
	before := len(s.front.Asked())
	var wg sync.WaitGroup
	for _, c := range []struct{ image, user string }{{"buildah", "root"}, {"buildah", "builder"}, {"buildah-trixie", "root"}, {"buildah-trixie", "builder"}} {
		wg.Go(func() {
			j := harness.Job(t, c.image, append(building(ref, "buildah", "podman"),
				"env -i HOME=$HOME PATH=$PATH buildah images --format '{{.Name}}:{{.Tag}}'")...)
			j.Image.User = c.user
			r := s.Runner.Play(j)
			if r.Outcome != runner.Success {
				t.Error(r)
				return
			}
			wantBuiltFrom(t, r.Call(runner.StageBuild), "version one", "buildah", "podman")
			harness.WantLines(t, r, ref)
			if !strings.Contains(r.Log.String(), "Shared images: generation 1, 1 images.") {
				t.Error(r)
			}
		})
	}
	wg.Wait()
	if asked := s.front.Asked()[before:]; len(asked) > 0 || !s.front.Waiting() {
		t.Errorf("the registry was asked beside the refresh, which waits: %v", asked)
	}
	release()
	if err := refresh.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	before = len(s.front.Asked())
	wantBuiltFrom(t, s.Succeed(t, harness.Job(t, "buildah", building(ref, "buildah")...)).Call(runner.StageBuild), "version two", "buildah")
	if asked := s.front.Asked()[before:]; len(asked) > 0 {
		t.Errorf("the registry was asked by a job: %v", asked)
	}
	if out := s.images(t, "refresh"); !strings.Contains(out, "Nothing has changed") {
		t.Error(out)
	}
	s.empty(t)
}

// A job keeps its generation over a refresh and gc; the
// generation goes with its last job.
func TestGenerationsGoWithTheirLastJob(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "")
	ref := s.push(t, "shared/generations", "version one")
	s.images(t, "pull", ref)
	old := s.Ready(t, harness.Job(t, "buildah", building(ref, "buildah")...))
	s.push(t, "shared/generations", "version two")
	s.images(t, "refresh")
	if out := s.GC(t); strings.Contains(out, "gsx-images-") {
		t.Errorf("gc took a generation:\n%s", out)
	}
	l := s.list(t)
	if len(l.Generations) != 2 || !slices.Equal(l.Generations[0].Jobs, []string{harness.JobName(t, old)}) || l.Generations[0].Current || !l.Generations[1].Current {
		t.Fatalf("%+v", l)
	}
	wantBuiltFrom(t, s.Succeed(t, harness.Job(t, "buildah", building(ref, "buildah")...)).Call(runner.StageBuild), "version two", "buildah")
	wantBuiltFrom(t, old.Run(t.Context(), runner.StageBuild), "version one", "buildah")
	if call := old.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	if left := s.volumes(t); !slices.Equal(left, []string{l.Generations[1].Volume}) {
		t.Errorf("left of %+v: %v", l.Generations, left)
	}
	s.empty(t)
}

// The documentation's commands, with images of the test registry and the user's own credentials for it.
func TestDocumentedImages(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "")
	first, second := s.push(t, "shared/of-references", "first"), s.push(t, "shared/one-more", "second")
	path := s.Runner.Driver.ConfigArgs[2]
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(text, []byte("[images]\n"), fmt.Appendf(nil, "[images]\nreferences = [%q]\n", first), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Home(t, harness.AuthConfig(s.front.Address, registry.Password), nil)
	out := s.Type(t, pages.Commands(t, "docs/shared-images.md", "gitlab-sysbox-executor images", "registry.example.com/base:3", second))
	// The list has the columns of the page's example.
	for _, header := range regexp.MustCompile(`(?m)^[A-Z]{2,} .*`).FindAllString(pages.Find(t, "docs/shared-images.md", "IMAGE ").Text, -1) {
		if !regexp.MustCompile(`(?m)^` + strings.Join(strings.Fields(header), " +") + `$`).MatchString(out) {
			t.Errorf("no columns %q in\n%s", header, out)
		}
	}
	if l := s.list(t); len(l.Images) != 1 || l.Images[0].Reference != first || !strings.Contains(out, "\n"+second+" ") {
		t.Errorf("%+v after\n%s", l, out)
	}
	s.empty(t)
}

// A pull that is killed leaves what jobs see as it was; gc removes the rest. One
// that fails leaves nothing itself.
func TestImagesPullKilled(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "")
	ref := s.push(t, "shared/killed", "version one")
	s.images(t, "pull", ref)
	before := s.list(t)
	release := s.front.Hold()
	defer release()
	pull := s.command("pull", s.push(t, "shared/another", "another"))
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the pull asks the registry", s.front.Waiting)
	if out := s.GC(t); strings.Contains(out, "gsx-images-") {
		t.Errorf("gc took what is being made:\n%s", out)
	}
	if err := pull.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = pull.Wait() // killed
	release()
	if l := s.list(t); !slices.Equal(l.Images, before.Images) || len(l.Generations) != 2 {
		t.Errorf("%+v", l)
	}
	wantBuiltFrom(t, s.Succeed(t, harness.Job(t, "buildah", building(ref, "buildah")...)).Call(runner.StageBuild), "version one", "buildah")
	// Killed earlier, it would have left but the file of its lock.
	stem := strings.TrimRight(before.Generations[0].Volume, "0123456789")
	if err := os.WriteFile(filepath.Join(s.StateDir, "kept", stem+"99"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := s.GC(t); strings.Count(out, "shared images that are not the current ones") < 1 {
		t.Errorf("gc tells nothing of it:\n%s", out)
	}
	wantOne := func() {
		t.Helper()
		if left := s.volumes(t); !slices.Equal(left, []string{before.Generations[0].Volume}) {
			t.Errorf("left: %v", left)
		}
	}
	wantOne()
	out, err := s.command("pull", s.front.Address+"/shared/absent:latest").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "pulling "+s.front.Address+"/shared/absent:latest: exit code") {
		t.Errorf("%v\n%s", err, out)
	}
	wantOne()
	s.empty(t)
}

// Jobs that begin while the store changes get one generation or the other, whole.
func TestJobsBeginWhileImagesChange(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "users = []")
	ref, other := s.push(t, "shared/stays", "stays"), s.push(t, "shared/comes", "comes and goes")
	s.images(t, "pull", ref)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for verb := "pull"; ; {
			if out, err := s.command(verb, other).CombinedOutput(); err != nil {
				t.Errorf("images %s: %v\n%s", verb, err, out)
			}
			select {
			case <-stop:
				return
			default:
			}
			verb = map[string]string{"pull": "remove", "remove": "pull"}[verb]
		}
	})
	for range 2 {
		var jobs sync.WaitGroup
		for range 2 {
			jobs.Go(func() {
				r := s.Runner.Play(harness.Job(t, "buildah", "buildah images --format '{{.Name}}:{{.Tag}}'"))
				if r.Outcome != runner.Success || !r.Call(runner.StageBuild).Output.Has(ref) {
					t.Error(r)
				}
			})
		}
		jobs.Wait()
	}
	close(stop)
	wg.Wait()
	s.empty(t)
}

// A refresh that waits for a removal pulls what is there after it.
func TestImagesRefreshAfterARemoval(t *testing.T) {
	t.Parallel()
	s := newSharing(t, "")
	stays, goes := s.push(t, "shared/kept", "stays"), s.push(t, "shared/gone", "goes")
	s.images(t, "pull", stays, goes)
	unlock, ok, err := statedir.Dir(s.StateDir).TryLockImages()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	refresh := s.command("refresh")
	said, err := refresh.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := refresh.Start(); err != nil {
		t.Fatal(err)
	}
	defer refresh.Process.Kill()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.Contains(line, "waiting for it to end") {
		t.Fatal(line, err)
	}
	// It stands still, and so is not the next to have the lock.
	if err := refresh.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	unlock()
	s.images(t, "remove", goes)
	before := len(s.front.Asked())
	if err := refresh.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, said); err != nil {
		t.Error(err)
	}
	if err := refresh.Wait(); err != nil {
		t.Error(err)
	}
	if l := s.list(t); len(l.Images) != 1 || l.Images[0].Reference != stays || len(s.front.Asked()) == before {
		t.Errorf("%+v, asked %v", l, s.front.Asked()[before:])
	}
	s.empty(t)
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within five minutes", what)
		}
	}
}
