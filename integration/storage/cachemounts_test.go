package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

const keepCacheMounts = "[storage]\ncache_mounts = \"project\"\n"

// cacheBuild is a script that builds with `tool` from a Dockerfile whose last step
// runs these lines.
func cacheBuild(tool, mount string, run ...string) []string {
	return []string{harness.BusyboxContext("RUN --mount=type=cache," + mount + " " + strings.Join(run, " && ")), tool + " build --no-cache context"}
}

// marking puts a mark into the cache and tells how many are there: on the host's
// side, since Buildah 1.28 may lose what a short RUN wrote on a busy machine.
func marking(tool string) []string {
	return append(cacheBuild(tool, "target=/var/cache/test", "echo x >>/var/cache/test/mark"),
		`echo "marks: $(cat "$(find -L "$TMPDIR/buildah-cache-$(id -u)" -name mark)" | tr -d '\n')"`)
}

// Cache mounts go from job to job of one project, and nowhere else.
func TestKeptCacheMounts(t *testing.T) {
	t.Parallel()
	for _, name := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true, Other: keepCacheMounts})
			project := harness.NewProject()
			podman := runner.Image{
				Name: harness.Image(t, name), Alias: "podman", PullPolicies: []string{"if-not-present"},
				Command: []string{"podman", "system", "service", "--time", "0", "tcp:0.0.0.0:8080"},
			}
			remote := append([]string{"for i in $(seq 100); do podman --remote --url tcp://podman:8080 version >/dev/null 2>&1 && break; sleep 0.2; done"},
				marking("podman --remote --url tcp://podman:8080")...)
			type build struct {
				name   string
				script []string
				change func(*runner.Job)
				mounts string // whose cache mounts it has to find: all who have the same share them
			}
			marks, volumes := map[string]string{}, map[string]bool{}
			for _, c := range harness.Some(5,
				build{"first", marking("buildah"), func(*runner.Job) {}, "the project's"},
				build{"second", marking("podman"), func(*runner.Job) {}, "the project's"},
				build{"a protected ref", marking("buildah"), func(j *runner.Job) { j.Repo.Protected = true }, "the protected ref's"},
				build{"another project", marking("buildah"), func(j *runner.Job) { j.ProjectID = harness.NewProject() }, "another project's"},
				build{"a key that sounds protected", marking("buildah"), func(j *runner.Job) { j.Cache = []runner.Cache{{Key: "k-protected", Policy: "pull"}} }, "the project's"},
				build{"another TMPDIR", marking("buildah"), func(j *runner.Job) { *j = harness.With(*j, runner.Var("TMPDIR", "/srv/tmp dir")) }, "the project's"},
				build{"another user", marking("buildah"), func(j *runner.Job) { j.Image.User = "builder" }, "the project's, of a user"},
				build{"another user again", marking("buildah"), func(j *runner.Job) { j.Image.User = "builder" }, "the project's, of a user"},
				build{"Podman as a service", remote, func(j *runner.Job) { j.Services = []runner.Image{podman} }, "the project's"},
			) {
				j := harness.Job(t, name, c.script...)
				j.ProjectID = project
				c.change(&j)
				marks[c.mounts] += "x"
				volumes[strings.TrimSuffix(c.mounts, ", of a user")] = true
				r := p.Succeed(t, j)
				if want := "marks: " + marks[c.mounts]; !r.Call(runner.StageBuild).Output.Has(want) {
					t.Errorf("%s: no %q\n%s", c.name, want, r)
				}
			}
			n := 0
			for _, v := range p.KeptVolumes(t) {
				if v.Kind == "cache-mounts" {
					n++
				}
			}
			if n != len(volumes) {
				t.Errorf("%d volumes with cache mounts, not those of %v: %v", n, volumes, p.KeptVolumes(t))
			}
		})
	}
}

// Parallel jobs of one project share the folder: with sharing=locked one waits for
// the other, across containers.
func TestKeptCacheMountsOfParallelJobs(t *testing.T) {
	t.Parallel()
	for _, name := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true, Other: keepCacheMounts})
			j := harness.Job(t, name, cacheBuild("buildah", "id=shared,target=/c,sharing=locked",
				"if [ -e /c/busy ]; then touch /c/met; fi", "touch /c/busy", "sleep 2", "echo x >>/c/turns", "rm /c/busy")...)
			j.ProjectID = harness.NewProject()
			results := make([]*runner.Result, 3)
			var wg sync.WaitGroup
			for n := range results {
				j := j
				j.ConcurrentID = n
				wg.Go(func() { results[n] = p.Runner.Play(j) })
			}
			wg.Wait()
			for _, r := range results {
				if r.Outcome != runner.Success {
					t.Fatal(r)
				}
			}
			folder := cacheOf(t, filepath.Join(cacheMounts(t, p), "0"), "shared")
			if turns, err := os.ReadFile(filepath.Join(folder, "turns")); err != nil || string(turns) != "x\nx\nx\n" {
				t.Errorf("%q %v", turns, err)
			}
			if _, err := os.Stat(filepath.Join(folder, "met")); err == nil {
				t.Error("two held one lock")
			}
		})
	}
}

// The kept cache mounts have a limit: the longest unused go, once no job of the
// project runs.
func TestKeptCacheMountsAreBounded(t *testing.T) {
	t.Parallel()
	for _, name := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true, Run: `kill_grace = "2s"`, Other: keepCacheMounts + "cache_mounts_size = \"50MiB\"\n[gc]\ninterval = \"0s\""})
			project := harness.NewProject()
			filling := func(id string, then ...string) runner.Job {
				j := harness.Job(t, name, cacheBuild("buildah", "id="+id+",target=/c",
					append([]string{"head -c 20000000 /dev/zero >/c/big"}, then...)...)...)
				j.ProjectID = project
				return j
			}
			p.Succeed(t, filling("one"))
			// A build that has the volume while others end.
			long := p.Ready(t, filling("two", "echo has it", "until [ -e /c/end ]; do sleep 0.1; done", "touch /c/mine"))
			process := long.StartRun(runner.StageBuild, long.Script(runner.StageBuild))
			if _, err := process.Output().WaitFor("has it", time.Minute); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(cacheMounts(t, p), "0")
			age(t, folder, "one", time.Now().Add(-48*time.Hour))
			p.Succeed(t, filling("three"))
			if out := p.GC(t); !strings.Contains(out, "but jobs use them") {
				t.Errorf("gc beside a running build:\n%s", out)
			}
			there := func(want map[string]bool) {
				t.Helper()
				for id, want := range want {
					if _, err := os.Stat(filepath.Join(cacheOf(t, folder, id), "big")); (err == nil) != want {
						t.Errorf("cache %s: %v", id, err)
					}
				}
			}
			there(map[string]bool{"one": true, "two": true, "three": true})
			if err := os.WriteFile(filepath.Join(cacheOf(t, folder, "two"), "end"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if call, err := process.Wait(time.Minute); err != nil || call.Err != nil {
				t.Error(err, call)
			}
			// On a busy machine the cleanup leaves some of it or all to gc.
			call := long.Cleanup()
			if out := p.GC(t); call.Err != nil || !strings.Contains(call.Output.String()+out, "50MiB (storage.cache_mounts_size)") {
				t.Errorf("%s\n%s", call, out)
			}
			there(map[string]bool{"one": false, "two": true, "three": true})
			if _, err := os.Stat(filepath.Join(cacheOf(t, folder, "two"), "mine")); err != nil {
				t.Errorf("what the build wrote is not in the cache: %v", err)
			}
		})
	}
}

// cacheMounts is the host's folder of the only volume with cache mounts.
func cacheMounts(t *testing.T, p *harness.Place) string {
	t.Helper()
	for _, v := range p.KeptVolumes(t) {
		if v.Kind == "cache-mounts" {
			path, _ := harness.Ask(t, "GET", "/volumes/"+v.Name, nil)["Mountpoint"].(string)
			return path
		}
	}
	t.Fatal("no volume with cache mounts")
	return ""
}

// cacheOf is the folder of the cache with that id; one that is not there when there
// is none.
func cacheOf(t *testing.T, folder, id string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(id)) // Buildah 1.39's name for it
	for _, dir := range []string{id, hex.EncodeToString(sum[:])[:16]} {
		if _, err := os.Stat(filepath.Join(folder, dir)); err == nil {
			return filepath.Join(folder, dir)
		}
	}
	return filepath.Join(folder, "none")
}

// age makes a cache look as if it had been used at that time.
func age(t *testing.T, folder, id string, when time.Time) {
	t.Helper()
	dir := cacheOf(t, folder, id)
	for _, p := range []string{filepath.Join(dir, "big"), dir} {
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
}
