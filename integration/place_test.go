package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/integration/leftovers"
	"gitlab-sysbox-executor/integration/runner"
)

// place is one test's own configuration, state folder and Runner.
type place struct {
	dir, stateDir string
	runner        runner.Runner
	jobs          *jobs
}

// jobs are the jobs that a place has played.
type jobs struct {
	sync.Mutex
	ids map[int64]bool
}

func (j *jobs) add(job runner.Job) {
	j.Lock()
	defer j.Unlock()
	j.ids[job.ID] = true
}

// jobInName is where the names of a job's things have its number.
var jobInName = regexp.MustCompile(`^/?gsx-[0-9a-f]+-p\d+-j(\d+)`)

// named tells whether name is one of a job's things.
func (j *jobs) named(name string) bool {
	found := jobInName.FindStringSubmatch(name)
	if found == nil {
		return false
	}
	id, err := strconv.ParseInt(found[1], 10, 64)
	j.Lock()
	defer j.Unlock()
	return err == nil && j.ids[id]
}

// settings are what a test wants of the configuration file.
type settings struct {
	host   string // "": the private engine
	engine string // the lines of [engine], instead of host
	job    string // further lines of [job]
	run    string // further lines of [run]
	other  string // whole sections
	keep   bool   // builds and cache outlive a job, until the test's end
}

// localImages is for what takes the configuration's pull policy: test images
// are in no registry.
const localImages = `pull_policy = ["if-not-present"]`

// pulledImage is what is noted of an image that a job pulled.
var pulledImage = regexp.MustCompile(`/pulled/[0-9a-f]{64}$`)

// newPlace writes the configuration and checks at the test's end that the
// state folder has no file left.
func newPlace(t testing.TB, s settings) *place {
	t.Helper()
	dir, err := os.MkdirTemp(world.dir, "test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.host == "" {
		s.host = world.engine.Host
	}
	if s.engine == "" {
		s.engine = fmt.Sprintf("host = %q", s.host)
	}
	if !strings.Contains(s.job, "pull_polic") {
		// The tests' images are made here: job() asks for what is present.
		s.job += "\nallowed_pull_policies = [\"always\", \"if-not-present\"]"
	}
	p := &place{dir: dir, stateDir: filepath.Join(dir, "state"), jobs: &jobs{ids: map[int64]bool{}}}
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("runtime = %q\nstate_dir = %q\n\n[engine]\n%s\n\n[job]\n%s\n\n[run]\n%s\n\n[builds]\nkeep = %[6]t\n\n[cache]\nkeep = %[6]t\n\n%[7]s\n",
		world.runtime, p.stateDir, s.engine, s.job, s.run, s.keep, s.other)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.runner = runner.Runner{
		Driver:   runner.NewDriver(world.binary, "--config", config),
		TempRoot: dir, RetryPause: 100 * time.Millisecond,
		GracefulKill: 60 * time.Second, ForceKill: 10 * time.Second, FinishWait: 90 * time.Second, StageTimeout: 5 * time.Minute,
		Opened: p.jobs.add,
	}
	t.Cleanup(func() {
		if s.keep {
			p.removeKept(t)
		}
		for _, file := range filesBelow(t, p.stateDir) {
			if pulledImage.MatchString(file) {
				continue // the image may be there still
			}
			t.Errorf("left in the state folder: %s", file)
		}
	})
	return p
}

func filesBelow(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// images are made once each, by whoever wants one first.
var images struct {
	sync.Mutex
	once map[string]func() error
}

// image makes a test image in the private engine and returns its reference.
func image(t testing.TB, name string) string {
	t.Helper()
	images.Lock()
	if images.once == nil {
		images.once = map[string]func() error{}
	}
	if images.once[name] == nil {
		images.once[name] = sync.OnceValue(func() error {
			_, err := command(15*time.Minute, filepath.Join(world.repo, "scripts", "image.sh"), name, world.engine.Host)
			return err
		})
	}
	build := images.once[name]
	images.Unlock()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return "gsx-test/" + name + ":latest"
}

// job is a job without a repository in a test image.
func job(t testing.TB, imageName string, script ...string) runner.Job {
	t.Helper()
	return runner.Job{
		Image:     runner.Image{Name: image(t, imageName), PullPolicies: []string{"if-not-present"}},
		Variables: []runner.Variable{runner.Var("GIT_STRATEGY", "none")},
		Script:    script,
		Timeout:   5 * time.Minute,
	}
}

// with adds variables to a job.
func with(j runner.Job, variables ...runner.Variable) runner.Job {
	j.Variables = append(j.Variables[:len(j.Variables):len(j.Variables)], variables...)
	return j
}

// succeed plays a job and wants it to succeed.
func (p *place) succeed(t testing.TB, j runner.Job) *runner.Result {
	t.Helper()
	r := p.runner.Play(j)
	if r.Outcome != runner.Success {
		t.Fatal(r)
	}
	return r
}

// wantLines wants these lines in what the script wrote.
func wantLines(t testing.TB, r *runner.Result, lines ...string) {
	t.Helper()
	var missing []string
	for _, line := range lines {
		if !r.Call(runner.StageBuild).Output.Has(line) {
			missing = append(missing, line)
		}
	}
	if missing != nil {
		t.Errorf("build_script wrote no %q\n%s", missing, r)
	}
}

// ready opens a session and takes it to where scripts can run. Its cleanup
// comes at the test's end.
func (p *place) ready(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s := p.configured(t, j)
	for _, call := range []*runner.Call{
		s.Prepare(t.Context()), s.Run(t.Context(), runner.StagePrepareScript), s.Run(t.Context(), runner.StageGetSources),
	} {
		if call.Err != nil {
			t.Fatal(call)
		}
	}
	return s
}

// configured opens a session and takes it to where prepare comes next.
func (p *place) configured(t testing.TB, j runner.Job) *runner.Session {
	t.Helper()
	s, err := p.runner.Open(j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if call := s.Cleanup(); call.Err != nil {
			t.Error(call)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if call, err := s.Config(t.Context()); err != nil {
		t.Fatal(err, call)
	}
	return s
}

// container is the ID of the session's job container.
func (p *place) container(t testing.TB, s *runner.Session) string {
	t.Helper()
	found, err := world.engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(found) != 1 {
		t.Fatalf("containers of job %d: %v %v", s.Job.ID, found, err)
	}
	return found[0].ID
}

// unchanged returns a function that compares what the place has on the machine
// with what it has now. What nobody owns is compared once, for all tests together.
func (p *place) unchanged(t testing.TB) (compare func()) {
	t.Helper()
	return unchanged(t, p.owned())
}

// machineUnchanged compares the whole machine. Tests that use it are not parallel.
func (p *place) machineUnchanged(t testing.TB) (compare func()) {
	t.Helper()
	return unchanged(t, scope(p.stateDir))
}

func unchanged(t testing.TB, s leftovers.Scope) (compare func()) {
	t.Helper()
	before := snapshot(t, s)
	return func() {
		t.Helper()
		if diff := leftovers.Diff(before, snapshot(t, s)); diff != "" {
			t.Errorf("left behind:\n%s", diff)
		}
	}
}

func snapshot(t testing.TB, s leftovers.Scope) leftovers.Snapshot {
	t.Helper()
	found, err := s.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// owned is everything of the place's.
func (p *place) owned() leftovers.Scope {
	all := scope(p.stateDir)
	all.Owns = &leftovers.Owner{Object: p.owns, Dir: p.dir}
	return all
}

// owns tells whether an object of the engine is the place's: by the label of its
// state folder, or by the number of one of its jobs in the name.
func (p *place) owns(name string, labels map[string]string) bool {
	var s unix.Stat_t
	if unix.Stat(p.stateDir, &s) == nil && labels["io.gitlab-sysbox-executor.state"] == fmt.Sprintf("%d-%d", s.Dev, s.Ino) {
		return true
	}
	return p.jobs.named(name)
}

// lines is a script of several lines as one entry of `script:`.
func lines(text ...string) string { return strings.Join(text, "\n") }
