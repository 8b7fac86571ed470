package jobs

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Five run stages cost one container start, and no exec of the engine.
func TestOneContainerStart(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	j.AfterScript = []string{"true"}
	since := time.Now()
	r := p.Succeed(t, j)
	starts, err := harness.World.Engine.Events(t.Context(), "start", r.Job.ID, since, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	execs, err := harness.World.Engine.Events(t.Context(), "exec_create", r.Job.ID, since, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, stage := range r.Stages() {
		if stage != "config" && stage != "prepare" && stage != "cleanup" {
			runs++
		}
	}
	if runs != 5 || starts != 1 || execs != 0 {
		t.Errorf("%d run stages cost %d container starts and %d execs\n%s", runs, starts, execs, r)
	}
}

// A job in each image that a job may have.
func TestStagesInEveryKindOfImage(t *testing.T) {
	t.Parallel()
	const long = "60s" // no busy machine shall make an entrypoint seem deaf
	for image, c := range harness.SomeOf(3, map[string]struct {
		timeout string
		want    []string
	}{
		"bookworm":           {long, []string{"uid 0", "bash yes"}},
		"trixie":             {long, []string{"uid 0", "bash yes"}},
		"user1000":           {long, []string{"uid 1000", "bash yes"}},
		"entrypoint-exec":    {long, []string{"uid 0", "bash yes", "mark set", `spaced two words  and a "quote"`}},
		"entrypoint-ignores": {"3s", []string{"uid 0", "bash yes"}},
	}) {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Job: `entrypoint_timeout = "` + c.timeout + `"`})
			j := harness.Job(t, image, "echo uid $(id -u)", "echo bash ${BASH_VERSION:+yes}", `echo "mark $ENTRYPOINT_MARK"`,
				`echo "spaced $ENTRYPOINT_SPACED"`, "pwd", "touch file && echo writable")
			j.AfterScript = []string{"rm file && echo same place"}
			r := p.Succeed(t, j)
			harness.WantLines(t, r, append(c.want, "/builds/group/project", "writable")...)
			if !r.Call(runner.StageAfter).Output.Has("same place") {
				t.Error(r.Call(runner.StageAfter))
			}
		})
	}
}

// Every stage has the environment that the entrypoint set.
func TestRowEntrypointKept(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: `entrypoint_timeout = "60s"`})
	s := p.Ready(t, harness.Job(t, "entrypoint-exec", "true"))
	for n := range 20 {
		call := s.RunScript(t.Context(), runner.StageBuild, "#!/usr/bin/env bash\necho \"mark $ENTRYPOINT_MARK\"\n")
		if call.Err != nil || !call.Output.Has("mark set") {
			t.Fatalf("stage %d: %s", n+1, call)
		}
	}
}

// A word of 100 kB is one that a process takes; what it is as JSON may be too long,
// which is reported before any resource is made.
func TestRowEntrypointLong(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", `echo "length ${#LONG}"`)
	word := func(character string) []string {
		return []string{"sh", "-c", `LONG=$0 exec "$@"`, strings.Repeat(character, 100_000)}
	}
	j.Image.Entrypoint = word("&")
	harness.WantLines(t, p.Succeed(t, j), "length 100000")
	j.Image.Entrypoint = word("\x01")
	_, c := p.Prepared(t, j)
	harness.WantRefused(t, c, "entrypoint")
	for _, made := range harness.FilesBelow(t, filepath.Join(p.StateDir, "jobs")) {
		if filepath.Base(made) != "volume.json" { // the claim on the disk comes before the pulls
			t.Errorf("made before it was refused: %s", made)
		}
	}
}

// An image with sh alone, with the escapes a Runner writes for bash and with
// those it writes for sh.
func TestShellWithoutBash(t *testing.T) {
	t.Parallel()
	for name, variables := range map[string][]runner.Variable{
		"bash's quoting":  nil,
		"POSIX's quoting": {runner.Var("FF_POSIXLY_CORRECT_ESCAPES", "true")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.With(harness.Job(t, "sh-only", `echo "it's a \"test\" of $WHAT" && echo bash${BASH_VERSION:-less}`), runner.Var("WHAT", "two words"))
			harness.WantLines(t, p.Succeed(t, harness.With(j, variables...)), `it's a "test" of two words`, "bashless")
		})
	}
}

func TestImageWithoutShellFailsOnceAndClearly(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "no-shell", "true")
	r := p.Runner.Play(j)
	if got := strings.Join(r.Stages(), " "); r.Outcome != runner.ScriptFailure || got != "config prepare cleanup" {
		t.Errorf("stages %s\n%s", got, r)
	}
	told := 0
	for _, line := range r.Call("prepare").Output.Lines() {
		if strings.Contains(line.Text, j.Image.Name) && strings.Contains(line.Text, "no shell") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d lines say so\n%s", told, r)
	}
}

func TestRowUser(t *testing.T) {
	t.Parallel()
	// Groups and HOME are what the engine gives such users.
	for name, c := range map[string]struct{ settings, payload, want string }{
		"of the job":           {"", "1000", "uid 1000 gid 0 home /"},
		"of the job, by name":  {"", "nobody", "uid 65534 gid 65534 home /nonexistent"},
		"with a group":         {"", "1000:1001", "uid 1000 gid 1001 home /"},
		"of the configuration": {`user = "1002"`, "1000", "uid 1002 gid 0 home /"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Job: c.settings})
			j := harness.Job(t, "bookworm", "echo uid $(id -u) gid $(id -g) home $HOME", "touch file && echo writable")
			j.Image.User = c.payload
			harness.WantLines(t, p.Succeed(t, j), c.want, "writable")
		})
	}
}

// An image given by ID is not pulled, and a job without one has no policy.
func TestRowImageDefaultByID(t *testing.T) {
	t.Parallel()
	id, err := harness.World.Engine.ImageID(t.Context(), harness.Image(t, "bookworm"))
	if err != nil {
		t.Fatal(err)
	}
	p := harness.NewPlace(t, harness.Settings{Job: `image = "` + id + `"`})
	j := harness.Job(t, "bookworm", ". /etc/os-release; echo $VERSION_CODENAME")
	j.Image = runner.Image{}
	harness.WantLines(t, p.Succeed(t, j), "bookworm")
}

func TestRowEntrypointCleared(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "entrypoint-exec", `echo "mark ${ENTRYPOINT_MARK-unset}"`)
	j.Image.Entrypoint = []string{""}
	harness.WantLines(t, p.Succeed(t, j), "mark unset")
}
