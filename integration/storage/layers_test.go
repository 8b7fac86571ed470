package storage

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

const lastStage = "cleanup_file_variables"

// keeping is a place whose jobs leave their storage volumes to each other.
func keeping(t testing.TB, further string) *harness.Place {
	t.Helper()
	return harness.NewPlace(t, keepingSettings("", further))
}

// keepingSettings are those of keeping, with an engine; the tests' own if host is empty.
func keepingSettings(host, further string) harness.Settings {
	return harness.Settings{
		Host: host,
		Run:  `kill_grace = "2s"`, Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"2GiB\"\nkeep = \"project\"\n" + further,
	}
}

// building builds an image with this number of RUN lines, with Buildah or Podman.
func building(t testing.TB, tool string, lines int, project int64) runner.Job {
	t.Helper()
	recipe := pages.Commands(t, "docs/layers.md", tool+" build", "\"$CI_REGISTRY_IMAGE\"", "built")
	j := harness.Job(t, "buildah", harness.Lines(
		"mkdir -p context && cp /bin/busybox context/",
		"{ printf 'FROM scratch\\nCOPY busybox /bin/busybox\\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\\n'; for n in $(seq "+strconv.Itoa(lines)+"); do echo \"RUN echo $n >/file$n\"; done; } >context/Dockerfile",
		"cd context && touch -d @0 *", // a new file time would be a change
		recipe+" 2>&1 | tee ../build.log", "cd ..",
		"echo \"cached: $(grep -ci 'using cache' build.log)\"",
		"echo \"tmp: [$(ls $TMPDIR | grep left)]\"; echo x >$TMPDIR/left",
		"echo \"containers: [$(buildah containers -q)]\"; buildah from --name work built >/dev/null",
	))
	j.ProjectID = project
	return j
}

// A job's images and layers are there for the project's next job.
func TestLayersAreKept(t *testing.T) {
	t.Parallel()
	type combination struct{ tool, user string }
	for _, c := range harness.Some(1, combination{"buildah", ""}, combination{"podman", ""}, combination{"buildah", "builder"}, combination{"podman", "builder"}) {
		t.Run(c.tool+" "+c.user, func(t *testing.T) {
			p := keeping(t, "")
			project := harness.NewProject()
			build := func(lines int) runner.Job {
				j := building(t, c.tool, lines, project)
				j.Image.User = c.user
				return j
			}
			r := p.Succeed(t, build(2))
			harness.WantLines(t, r, "cached: 0")
			harness.WantSaid(t, r, "prepare", "xfs-loop", "new, because none is kept")
			harness.WantSaid(t, r, lastStage, "is kept for the project's next job")
			all := p.KeptVolumes(t)
			if len(all) != 1 || all[0].Kind != "storage" || all[0].Project != project || all[0].Images == 0 || all[0].Size.Bytes == 0 {
				t.Fatalf("%+v", all)
			}
			r = p.Succeed(t, build(3))
			harness.WantLines(t, r, "cached: 4", "tmp: []", "containers: []")
			harness.WantSaid(t, r, "prepare", "kept from a job of this project")
			p.Succeed(t, build(3))
		})
	}
}

// counted counts the jobs that had its storage volume.
func counted(t testing.TB, project int64) runner.Job {
	j := harness.Job(t, "bookworm", "echo x >>/var/lib/containers/mark", "echo storage $(wc -l </var/lib/containers/mark)")
	j.ProjectID = project
	return j
}

// Whose storage volumes a job never gets, whatever their jobs left there.
func TestHostileKeptStorageIsApart(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	plant := counted(t, project)
	plant.Script = append(plant.Script, harness.Lines(
		"cd /var/lib/containers", "cp /bin/sh planted && chmod 4755 planted", "mknod device c 1 3 || true",
		"mkdir -p storage users/0 && echo '{' >storage/libpod.json", "ln -s /etc/passwd link", "echo PLANTED >secret",
	))
	look := []string{"echo found: $(ls /var/lib/containers | grep -c -e planted -e device -e link -e secret)"}
	for n, c := range []struct {
		name   string
		change func(*runner.Job)
		want   string
		kept   bool
	}{
		{"first", func(j *runner.Job) { *j = plant }, "storage 1", true},
		{"a protected ref", func(j *runner.Job) { j.Repo.Protected = true }, "storage 1", true},
		{"another project", func(j *runner.Job) { j.ProjectID = harness.NewProject() }, "storage 1", true},
		{"a fork's merge request", func(j *runner.Job) {
			*j = harness.With(*j, runner.Var("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", strconv.FormatInt(project+1, 10)))
		}, "storage 1", false},
		{"a fork that denies it", func(j *runner.Job) {
			*j = harness.With(*j, runner.Var("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", strconv.FormatInt(project+1, 10)), runner.Var("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", strconv.FormatInt(project, 10)))
		}, "storage 1", false},
		{"a slot of the job's choice", func(j *runner.Job) { *j = harness.With(*j, runner.Var("CI_CONCURRENT_PROJECT_ID", "0")) }, "storage 1", false},
		{"a word on protection of the job's own", func(j *runner.Job) { *j = harness.With(*j, runner.Var("CI_COMMIT_REF_PROTECTED", "true")) }, "storage 1", false},
		{"fresh", func(j *runner.Job) { *j = harness.With(*j, runner.Var("EXECUTOR_STORAGE", "fresh")) }, "storage 1", false},
		{"the same again", func(*runner.Job) {}, "storage 2", true},
	} {
		j := counted(t, project)
		j.Script = append(j.Script, look...)
		c.change(&j)
		r := p.Succeed(t, j)
		harness.WantLines(t, r, c.want)
		if n > 0 && c.want == "storage 1" {
			harness.WantLines(t, r, "found: 0")
		}
		if kept := strings.Contains(r.Call(lastStage).Output.String(), "is kept for the project's next job"); kept != c.kept {
			t.Errorf("%s: kept %t\n%s", c.name, kept, r)
		}
	}
}

// Two live jobs of a project never share a storage volume, and a third gets that of the first.
func TestParallelJobsWithKeptStorage(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 1")
	first := p.Ready(t, counted(t, project))
	if call := first.Run(t.Context(), runner.StageBuild); call.Err != nil || !call.Output.Has("storage 2") {
		t.Fatal(call)
	}
	second := counted(t, project)
	second.ConcurrentID = 1
	r := p.Succeed(t, second)
	harness.WantLines(t, r, "storage 1")
	harness.WantSaid(t, r, "prepare", "none is kept for this project and free")
	third := counted(t, project)
	third.ConcurrentID = 2
	harness.WantLines(t, p.Succeed(t, third), "storage 2")
}

// A storage volume that may be damaged, or is too large, is not kept.
func TestStorageIsNotKept(t *testing.T) {
	t.Parallel()
	for name, c := range harness.SomeOf(4, map[string]struct {
		script  []string
		further string
		said    string
	}{
		"full":               {[]string{"dd if=/dev/zero of=/var/lib/containers/fill bs=1M || { sleep 3; rm /var/lib/containers/fill; }"}, "", "it was full"},
		"too large":          {[]string{"dd if=/dev/zero of=/var/lib/containers/fill bs=1M count=200 status=none"}, "keep_size = \"100MiB\"\n", "more than 100MiB (storage.keep_size)"},
		"killed":             {[]string{"(trap '' TERM; while :; do sleep 1; done) &", "sleep 0.2"}, "", "had to be killed"},
		"a damaged store":    {[]string{"c=$(buildah from scratch) && buildah copy $c /bin/true && buildah commit --rm $c made && echo '[]' >/var/lib/containers/storage/vfs-layers/layers.json", "buildah images"}, "", "its images are damaged"},
		"a failing job":      {[]string{"exit 3"}, "", "is kept for the project's next job"},
		"an unmounted one":   {[]string{"umount /gsx /var/lib/containers"}, "", "The storage volume is not kept"},
		"a database of dirt": {[]string{"mkdir -p /var/lib/containers/storage/vfs-images && head -c 8M /dev/zero >/var/lib/containers/storage/vfs-images/images.json"}, "", "is kept for the project's next job: "},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := keeping(t, c.further)
			project := harness.NewProject()
			j := counted(t, project)
			j.Image.Name = harness.Image(t, "buildah")
			j.Script = append(j.Script, c.script...)
			r := p.Runner.Play(j)
			harness.WantSaid(t, r, lastStage, c.said)
			want := "storage 1"
			if strings.Contains(c.said, "is kept for") {
				want = "storage 2"
			}
			harness.WantLines(t, p.Succeed(t, counted(t, project)), want)
		})
	}
}

// Another major version of a tool begins with an empty volume.
func TestOtherToolsEmptyTheVolume(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	tool := func(version string) runner.Job {
		j := counted(t, project)
		j.Script = append([]string{"ls /var/lib/containers"}, j.Script...)
		j.Image.Name = harness.Image(t, "buildah")
		j.Image.Entrypoint = []string{"sh", "-c", "printf '#!/bin/sh\\necho podman version " + version + "\\n' >/usr/local/bin/podman && chmod 755 /usr/local/bin/podman && exec \"$@\"", "sh"}
		return j
	}
	harness.WantLines(t, p.Succeed(t, tool("4.3.1")), "storage 1")
	harness.WantLines(t, p.Succeed(t, tool("4.9.0")), "storage 2")
	r := p.Succeed(t, tool("5.4.2"))
	harness.WantLines(t, r, "storage 1")
	harness.WantSaid(t, r, "prepare", "The kept storage volume is emptied: podman 4.9.0 used it, and this image has 5.4.2.")
	harness.WantLines(t, p.Succeed(t, tool("5.4.2")), "storage 2")
	if t.Failed() {
		t.Logf("the job that emptied the volume: %s", r)
	}
}

// change changes the configuration of a place.
func change(t *testing.T, p *harness.Place, from, to string) {
	t.Helper()
	config := filepath.Join(p.Dir, "config.toml")
	text, err := os.ReadFile(config)
	if err == nil && !strings.Contains(string(text), from) {
		err = fmt.Errorf("it has no %s", from)
	}
	if err == nil {
		err = os.WriteFile(config, []byte(strings.Replace(string(text), from, to, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The volume has the size of the day.
func TestKeptStorageGrows(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 1")
	size := counted(t, project)
	size.Script = append(size.Script, "echo $(($(df --output=size -k /var/lib/containers | tail -1) / 1000000)) GB")
	change(t, p, "size = \"2GiB", "size = \"4GiB")
	harness.WantLines(t, p.Succeed(t, size), "storage 2", "4 GB")
	change(t, p, "size = \"4GiB", "size = \"3GiB")
	r := p.Succeed(t, size)
	harness.WantLines(t, r, "storage 1", "3 GB")
	harness.WantSaid(t, r, "prepare", "more than this job may use")
}

// A prepare that fails before a process of the job starts keeps the volume for the next job.
func TestFailedPrepareKeepsTheVolume(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 1")
	change(t, p, "runtime = \""+harness.World.Runtime, "runtime = \"no-such-runtime")
	if r := p.Runner.Play(counted(t, project)); r.Outcome == runner.Success {
		t.Fatal(r)
	}
	change(t, p, "runtime = \"no-such-runtime", "runtime = \""+harness.World.Runtime)
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 2")
}

// sealing is a message of Buildah 1.28 on a loaded machine, also with an empty volume: it runs a sealed copy of itself
// for a RUN line, and the kernel refuses the seal with EBUSY once in some hundred times.
const sealing = "sealing memfd copy: Device or resource busy"

// Drivers are killed at random times. The next job has either a whole volume or an empty one, and builds.
func TestKillMatrixOfKeptStorage(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	rounds := 200 / harness.Step(50)
	began := time.Now()
	p.Succeed(t, building(t, "buildah", 2, project))
	whole, sealed, longest := 0, 0, time.Since(began)
	p.Runner.FinishWait = 30 * time.Second
	for n := range rounds {
		j := building(t, "buildah", 2+n%5, project)
		j.Script = append([]string{"buildah rmi --all --force >/dev/null 2>&1 || true"}, j.Script...)
		play := p.Runner.Start(j)
		wait := time.Duration(rand.Int64N(int64(longest)))
		timer := time.AfterFunc(wait, func() {
			if s := play.Session(); s != nil {
				for _, process := range s.Processes() {
					_ = process.Kill() // it may have ended
				}
			}
		})
		killed := play.Wait()
		timer.Stop()
		r := p.Runner.Play(building(t, "buildah", 3, project))
		if c := r.Call(runner.StageBuild); c != nil && strings.Contains(c.Output.String(), sealing) {
			sealed++
			r = p.Runner.Play(building(t, "buildah", 3, project))
		}
		if r.Outcome != runner.Success {
			t.Error(r)
		}
		if strings.Contains(r.Call("prepare").Output.String(), "kept from a job") {
			whole++
		}
		if t.Failed() {
			t.Fatalf("round %d, killed after %s\n%s", n, wait, killed)
		}
	}
	fmt.Printf("drivers were killed in %d rounds; %d of the next jobs had a whole volume, the others an empty one; %d builds were tried again (%s)\n", rounds, whole, sealed, sealing)
	p.GC(t) // of jobs whose cleanup was killed
	taken, _ := filepath.Glob(filepath.Join(p.StateDir, "volumes", "taken", "*"))
	gone, _ := filepath.Glob(filepath.Join(p.StateDir, "volumes", "gone", "*"))
	if len(taken)+len(gone) > 0 {
		t.Errorf("left: %v %v", taken, gone)
	}
}
