package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
)

const keepCacheMounts = "[storage]\ncache_mounts = \"project\"\n"

// cacheBuild is a script that builds with `tool` from a Dockerfile whose last step
// runs these lines.
func cacheBuild(tool, mount string, run ...string) []string {
	return []string{busyboxContext("RUN --mount=type=cache," + mount + " " + strings.Join(run, " && ")), tool + " build --no-cache context"}
}

// marking tells what was in the cache before and puts a mark there.
func marking(tool string) []string {
	return cacheBuild(tool, "target=/var/cache/test", `echo "before: [$(cat /var/cache/test/mark 2>/dev/null)]"`, "echo x >>/var/cache/test/mark")
}

// Issue 4: cache mounts go from job to job of one project, and nowhere else.
func TestKeptCacheMounts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "buildah-trixie"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{keep: true, other: keepCacheMounts})
			project := newProject()
			podman := runner.Image{
				Name: image(t, name), Alias: "podman", PullPolicies: []string{"if-not-present"},
				Command: []string{"podman", "system", "service", "--time", "0", "tcp:0.0.0.0:8080"},
			}
			remote := append([]string{"for i in $(seq 100); do podman --remote --url tcp://podman:8080 version >/dev/null 2>&1 && break; sleep 0.2; done"},
				marking("podman --remote --url tcp://podman:8080")...)
			for _, c := range []struct {
				name   string
				script []string
				change func(*runner.Job)
				want   string
			}{
				{"first", marking("buildah"), func(*runner.Job) {}, "before: []"},
				{"second", marking("podman"), func(*runner.Job) {}, "before: [x]"},
				{"another project", marking("buildah"), func(j *runner.Job) { j.ProjectID = newProject() }, "before: []"},
				{"a protected ref", marking("buildah"), func(j *runner.Job) { j.Repo.Protected = true }, "before: []"},
				{"a key that sounds protected", marking("buildah"), func(j *runner.Job) { j.Cache = []runner.Cache{{Key: "k-protected", Policy: "pull"}} }, "before: [x x]"},
				{"another TMPDIR", marking("buildah"), func(j *runner.Job) { *j = with(*j, runner.Var("TMPDIR", "/srv/tmp dir")) }, "before: [x x x]"},
				{"another user", marking("buildah"), func(j *runner.Job) { j.Image.User = "builder" }, "before: []"},
				{"another user again", marking("buildah"), func(j *runner.Job) { j.Image.User = "builder" }, "before: [x]"},
				{"Podman as a service", remote, func(j *runner.Job) { j.Services = []runner.Image{podman} }, "before: [x x x x]"},
			} {
				j := job(t, name, c.script...)
				j.ProjectID = project
				c.change(&j)
				r := p.succeed(t, j)
				if got := strings.Join(strings.Fields(r.Call(runner.StageBuild).Output.String()), " "); !strings.Contains(got, c.want) {
					t.Errorf("%s: no %q\n%s", c.name, c.want, r)
				}
			}
			n := 0
			for _, v := range p.keptVolumes(t) {
				if v.Kind == "cache-mounts" {
					n++
				}
			}
			if n != 3 {
				t.Errorf("%d volumes with cache mounts: %v", n, p.keptVolumes(t))
			}
		})
	}
}

// Parallel jobs of one project share the folder: with sharing=locked one waits for
// the other, across containers.
func TestKeptCacheMountsOfParallelJobs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "buildah-trixie"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{keep: true, other: keepCacheMounts})
			j := job(t, name, cacheBuild("buildah", "id=shared,target=/c,sharing=locked",
				"if [ -e /c/busy ]; then echo met another; fi", "touch /c/busy", "sleep 2", "echo x >>/c/turns", "rm /c/busy", "echo turn $(wc -l </c/turns)")...)
			j.ProjectID = newProject()
			results := make([]*runner.Result, 3)
			var wg sync.WaitGroup
			for n := range results {
				j := j
				j.ConcurrentID = n
				wg.Go(func() { results[n] = p.runner.Play(j) })
			}
			wg.Wait()
			all := ""
			for _, r := range results {
				if r.Outcome != runner.Success {
					t.Fatal(r)
				}
				all += r.Call(runner.StageBuild).Output.String()
			}
			for turn := range results {
				if n := strings.Count(all, fmt.Sprintf("\nturn %d\n", turn+1)); n != 1 {
					t.Errorf("turn %d came %d times", turn+1, n)
				}
			}
			if strings.Contains(all, "\nmet another\n") {
				t.Error("two held one lock")
			}
		})
	}
}

// The kept cache mounts have a limit: the longest unused go, what a build has
// mounted stays.
func TestKeptCacheMountsAreBounded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "buildah-trixie"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{keep: true, run: `kill_grace = "2s"`, other: keepCacheMounts + "cache_mounts_size = \"50MiB\"\n[gc]\ninterval = \"0s\""})
			project := newProject()
			filling := func(id string, then ...string) runner.Job {
				j := job(t, name, cacheBuild("buildah", "id="+id+",target=/c",
					append([]string{`echo "` + id + ` before: [$(ls /c)]"`, "head -c 20000000 /dev/zero >/c/big"}, then...)...)...)
				j.ProjectID = project
				return j
			}
			p.succeed(t, filling("one"))
			// A build that has the oldest folder mounted while others are removed.
			long := p.ready(t, filling("one", "echo has it", "until [ -e /c/end ]; do sleep 0.1; done", "ls /c/big"))
			process := long.StartRun(runner.StageBuild, long.Script(runner.StageBuild))
			if _, err := process.Output().WaitFor("has it", time.Minute); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(p.cacheMounts(t), "0")
			p.succeed(t, filling("two"))
			old := time.Now().Add(-48 * time.Hour)
			age(t, folder, "one", old.Add(-time.Hour))
			age(t, folder, "two", old)
			r := p.succeed(t, filling("three"))
			if !strings.Contains(r.Log.String(), "to keep within 50MiB (storage.cache_mounts_size)") {
				t.Error(r)
			}
			t.Log(p.gc(t))
			end, err := filepath.Glob(filepath.Join(folder, "*", "big"))
			if err != nil || len(end) != 2 { // of three
				t.Fatalf("%v %v", end, err)
			}
			for _, big := range end {
				if err := os.WriteFile(filepath.Join(filepath.Dir(big), "end"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if call, err := process.Wait(time.Minute); err != nil || call.Err != nil || !call.Output.Has("/c/big") {
				t.Error(err, call)
			}
			wantCleanup(t, long)
			for id, want := range map[string]string{"one": "[big end]", "two": "[]"} {
				r := p.succeed(t, filling(id, "rm /c/big"))
				if got := strings.Join(strings.Fields(r.Log.String()), " "); !strings.Contains(got, id+" before: "+want) {
					t.Errorf("%s: no %s\n%s", id, want, r)
				}
			}
		})
	}
}

// cacheMounts is the host's folder of the only volume with cache mounts.
func (p *place) cacheMounts(t *testing.T) string {
	t.Helper()
	for _, v := range p.keptVolumes(t) {
		if v.Kind == "cache-mounts" {
			path, _ := ask(t, "GET", "/volumes/"+v.Volume, nil)["Mountpoint"].(string)
			return path
		}
	}
	t.Fatal("no volume with cache mounts")
	return ""
}

// age makes a cache look as if it had been used at that time.
func age(t *testing.T, folder, id string, when time.Time) {
	t.Helper()
	sum := sha256.Sum256([]byte(id)) // Buildah 1.39's name for it
	for _, dir := range []string{id, hex.EncodeToString(sum[:])[:16]} {
		dir = filepath.Join(folder, dir)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		for _, p := range []string{filepath.Join(dir, "big"), dir} {
			if err := os.Chtimes(p, when, when); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Fatalf("no cache %s in %s", id, folder)
}
