package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Jobs of as many projects each leave much on their kept storage volumes, far more than the disk has in all.
// Every one of them runs, and what is kept stays within its bounds.
func TestHostileKeptStorageIsBounded(t *testing.T) {
	t.Parallel()
	size, part, jobs, free := 768, 40, 4, 210 // MiB; an empty volume has 64 for its log
	if os.Getenv("GSX_FULL_DISK") == "1" {
		size, part, jobs, free = 20<<10, 2<<10, 40, 2<<10
	}
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
	harness.Disk(t, folder, fmt.Sprintf("%dM", size), "mkfs.ext4", "-q", "-F", "-m", "0")
	home, volumes := filepath.Join(folder, "e"), filepath.Join(folder, "volumes")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	e := harness.NewOwnEngineAt(t, home, "")
	p := harness.NewPlace(t, harness.Settings{Host: e.Host, Other: fmt.Sprintf(
		"[storage]\nbackend = \"xfs-loop\"\ndir = %q\nsize = \"%dMiB\"\nkeep = \"project\"\nmin_free = \"%dMiB\"\n", volumes, 3*part+500, free)})
	t.Cleanup(func() { p.RemoveDisks(t, volumes) })
	image := hostileImage(t, r, 1000, 1)
	most := 0
	for n := range jobs {
		j := harness.RegistryJob(t, image, "if-not-present")
		j.ID, j.ProjectID = harness.NewProject(), harness.NewProject()
		j.Script = []string{fmt.Sprintf("head -c %dM /dev/zero >/var/lib/containers/filler", part), "echo job is done"}
		j = harness.With(j, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(r.Address, registry.Password), Raw: true})
		result := p.Runner.Play(j)
		if result.Outcome != runner.Success || !result.Call(runner.StageBuild).Output.Has("job is done") {
			t.Fatalf("job %d of %d with %d MiB free on the disk after it: %s", n+1, jobs, harness.FreeSpace(t, folder)>>20, result)
		}
		disks, err := filepath.Glob(filepath.Join(volumes, "kept", "*", "image"))
		if err != nil {
			t.Fatal(err)
		}
		bytes := int64(0)
		for _, path := range disks {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		if bound := int64(size) << 20 / 5; bytes > bound { // gc.most_volumes
			t.Errorf("after job %d, %d volumes with %d MiB are kept, more than %d", n+1, len(disks), bytes>>20, bound>>20)
		}
		most = max(most, len(disks))
	}
	if most == 0 {
		t.Error("no volume was ever kept")
	}
	fmt.Printf("%d projects left %d MiB each on a disk of %d MiB; at most %d volumes were kept at once\n", jobs, part, size, most)
}
