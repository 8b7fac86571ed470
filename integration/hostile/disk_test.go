package hostile

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	product "gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/leftovers"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// hostileDisk is the size of the engine's disk, what is to stay free there, and what
// each of the jobs leaves in each of /builds, /cache and an image, all in MiB; it writes a
// third of that to its container's log. Together they fill the disk so many times.
type hostileDisk struct{ size, free, part, jobs, times int }

// hostileDiskSize is less than a twentieth of the whole test, with fewer jobs, unless that is asked for.
func hostileDiskSize() hostileDisk {
	if os.Getenv("GSX_FULL_DISK") == "1" {
		return hostileDisk{20 << 10, 0, 620, 40, 4} // with the default of what is to stay free
	}
	return hostileDisk{768, 210, 62, 8, 2} // one job writes 206 MiB after the check
}

// hostileImage puts an image into the registry with so many MiB that no other has.
func hostileImage(t *testing.T, r *registry.Registry, n, size int) (ref string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	content := make([]byte, size<<20) // the engine writes each of these zeros to its disk
	copy(content, fmt.Sprint("image ", n))
	if err := w.WriteHeader(&tar.Header{Name: "filler", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ref = fmt.Sprintf("%s/hostile/disk-%d:latest", r.Address, n)
	for _, do := range []func() error{
		func() error {
			return harness.World.Engine.AddLayer(t.Context(), harness.Image(t, "bookworm"), ref, archive.Bytes())
		},
		func() error { return harness.World.Engine.Push(t.Context(), ref, registry.User, registry.Password) },
		func() error { return harness.World.Engine.RemoveImage(t.Context(), ref) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return ref
}

// Jobs of as many projects each leave much in /builds, /cache, an image and a log
// on the engine's disk, far more than it has in all. Every one of them runs. What
// they leave is removed in time, and nothing that no job brought is.
func TestHostileDiskFillsUp(t *testing.T) {
	t.Parallel()
	size := hostileDiskSize()
	r, err := harness.Registry()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("/tmp", "gsx-d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	harness.Disk(t, folder, fmt.Sprintf("%dM", size.size), "mkfs.ext4", "-q", "-F", "-m", "0")
	home := filepath.Join(folder, "e")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	e := harness.NewOwnEngineAt(t, home, "")
	engines := engine.At(e.Host)
	storage := "[storage]\nsize = \"1GiB\"\n"
	if size.free > 0 {
		storage += fmt.Sprintf("min_free = \"%dMiB\"\n", size.free)
	}
	p := harness.NewPlace(t, harness.Settings{Host: e.Host, Keep: true, Other: storage})
	before := e.Snapshot(t, p)

	refs := make([]string, size.jobs)
	left, lowest := int64(0), harness.FreeSpace(t, folder)
	for n := range refs {
		refs[n] = hostileImage(t, r, n, size.part)
		left += int64(3*size.part+size.part/3) << 20
		j := harness.RegistryJob(t, refs[n], "always")
		j.ID, j.ProjectID = harness.NewProject(), harness.NewProject()
		j.Script = []string{
			fmt.Sprintf("head -c %dM /dev/zero >/builds/filler", size.part),
			fmt.Sprintf("head -c %dM /dev/zero >/cache/filler", size.part),
			fmt.Sprintf("head -c %dM /dev/zero | tr '\\0' x | fold -w 1000 >/proc/1/fd/1", size.part/3),
			"echo job is done",
		}
		j = harness.With(j, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(r.Address, registry.Password), Raw: true})
		result := p.Runner.Play(j)
		free := harness.FreeSpace(t, folder)
		if result.Outcome != runner.Success || !result.Call(runner.StageBuild).Output.Has("job is done") {
			t.Fatalf("job %d of %d with %d MiB free on the disk after it: %s", n+1, size.jobs, free>>20, result)
		}
		lowest = min(lowest, free)
	}
	if left < int64(size.times*size.size)<<20 {
		t.Errorf("the jobs left only %d MiB on a disk of %d", left>>20, size.size)
	}
	there := 0
	for _, ref := range refs {
		if _, err := engines.ImageID(t.Context(), ref); err == nil {
			there++
		}
	}
	t.Logf("%d jobs left %d MiB on a disk of %d MiB; least free between jobs %d MiB, at the end %d MiB; %d images are still there",
		size.jobs, left>>20, size.size, lowest>>20, harness.FreeSpace(t, folder)>>20, there)

	client, err := product.New(e.Host, time.Minute, product.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	kept := &kept.Store{State: statedir.Dir(p.StateDir), Engine: client, Local: true, Log: logrus.New()}
	if share := int64(size.size) << 20 / 5; kept.Total() > share {
		t.Errorf("the jobs' folders keep %d MiB, more than 20%% of the disk", kept.Total()>>20)
	} else if kept.Total() == 0 {
		t.Error("nothing is kept of the jobs' folders")
	}

	// All that jobs brought can go, and nothing else does.
	configure(t, p, "[gc]\nkeep_volumes = \"1ms\"\nkeep_images = \"1ms\"\n")
	out := p.GC(t, "--dry-run")
	if !strings.Contains(out, "/hostile/disk-") {
		t.Errorf("a dry run tells nothing of images:\n%s", out)
	}
	out = p.GC(t)
	for _, ref := range refs {
		if _, err := engines.ImageID(t.Context(), ref); err == nil {
			t.Errorf("%s is still there\n%s", ref, out)
		}
	}
	if _, err := engines.ImageID(t.Context(), "gsx-test/bookworm:latest"); err != nil {
		t.Errorf("an image that no job pulled: %v\n%s", err, out)
	}
	if diff := leftovers.Diff(before, e.Snapshot(t, p)); diff != "" {
		t.Errorf("left behind:\n%s\n%s", diff, out)
	}
}

// configure adds sections to the place's configuration.
func configure(t testing.TB, p *harness.Place, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(p.Dir, "config.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("\n" + text); err != nil {
		t.Fatal(err)
	}
}
