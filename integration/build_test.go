package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
)

// buildScript builds an image from nothing but the job image's static busybox.
func buildScript() []string {
	return []string{
		lines(
			"mkdir context",
			"cp /bin/busybox context/",
			"cat >context/Dockerfile <<'END'",
			"FROM scratch",
			"COPY busybox /bin/busybox",
			`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
			"RUN mkdir -p /srv && echo first >/srv/layers",
			"RUN --mount=type=cache,target=/var/cache/test echo second >>/srv/layers && touch /var/cache/test/used",
			"RUN rm /bin/vi",
			"END",
		),
		"buildah build --tag built context",
		"buildah from --name check built",
		"echo layers $(buildah run check -- cat /srv/layers)",
		"buildah info | tr -d ' \",' | grep GraphDriverName",
	}
}

func wantBuilt(t *testing.T, output string) {
	t.Helper()
	for _, want := range []string{"\nlayers first second\n", "\nGraphDriverName:vfs\n"} {
		if !strings.Contains(output, want) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
}

// A job builds an image with vfs, and nothing of it is left.
func TestBuildahBuildsAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "buildah-trixie"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, settings{})
			j := job(t, name, buildScript()...)
			compare := p.unchanged(t)
			wantBuilt(t, p.succeed(t, j).Log.String())
			compare()
		})
	}
}

// The same through `try`, which needs no Runner.
func TestTryBuilds(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{job: localImages})
	reference := image(t, "buildah")
	compare := p.unchanged(t)
	args := append([]string{"try"}, p.runner.Driver.ConfigArgs[1:]...)
	args = append(args, "--image", reference, "--variable", "GREETING=hello from try", "--", strings.Join(append(buildScript(), `echo "$GREETING"`), "\n"))
	out, err := command(5*time.Minute, world.binary, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantBuilt(t, string(out))
	if !strings.Contains(string(out), "\nhello from try\n") {
		t.Errorf("the variable did not arrive:\n%s", out)
	}
	compare()
}

func TestTryGivesTheScriptsExitCode(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{job: localImages})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Rel(here, p.runner.Driver.ConfigArgs[2]) // what people type
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(2*time.Minute, world.binary, "try", "--config", config, "--image", image(t, "bookworm"), "--", "exit 42")
	if err == nil || !strings.Contains(err.Error(), "exit status 42") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Five run stages cost one container start.
func TestOneContainerStart(t *testing.T) {
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "true")
	j.AfterScript = []string{"true"}
	since := time.Now()
	r := p.succeed(t, j)
	starts, err := world.engine.Starts(t.Context(), r.Job.ID, since, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, stage := range r.Stages() {
		if stage != "config" && stage != "prepare" && stage != "cleanup" {
			runs++
		}
	}
	if runs != 5 || starts != 1 {
		t.Errorf("%d run stages cost %d container starts\n%s", runs, starts, r)
	}
}

// A job in each image that a job may have.
func TestStagesInEveryKindOfImage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"bookworm":           {"uid 0", "bash yes"},
		"trixie":             {"uid 0", "bash yes"},
		"user1000":           {"uid 1000", "bash yes"},
		"entrypoint-exec":    {"uid 0", "bash yes", "mark set", `spaced two words  and a "quote"`},
		"entrypoint-ignores": {"uid 0", "bash yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := "60s" // no busy machine shall make an entrypoint seem deaf
			if name == "entrypoint-ignores" {
				timeout = "3s"
			}
			p := newPlace(t, settings{job: `entrypoint_timeout = "` + timeout + `"`})
			j := job(t, name, "echo uid $(id -u)", "echo bash ${BASH_VERSION:+yes}", `echo "mark $ENTRYPOINT_MARK"`,
				`echo "spaced $ENTRYPOINT_SPACED"`, "pwd", "touch file && echo writable")
			j.AfterScript = []string{"rm file && echo same place"}
			r := p.succeed(t, j)
			wantLines(t, r, append(want, "/builds/group/project", "writable")...)
			if !r.Call(runner.StageAfter).Output.Has("same place") {
				t.Error(r.Call(runner.StageAfter))
			}
		})
	}
}

// What the entrypoint made of the environment holds for every stage, not only
// by luck.
func TestRowEntrypointKept(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{job: `entrypoint_timeout = "60s"`})
	s := p.ready(t, job(t, "entrypoint-exec", "true"))
	for n := range 20 {
		call := s.RunScript(t.Context(), runner.StageBuild, "#!/usr/bin/env bash\necho \"mark $ENTRYPOINT_MARK\"\n")
		if call.Err != nil || !call.Output.Has("mark set") {
			t.Fatalf("stage %d: %s", n+1, call)
		}
	}
}

// A word of 100 kB is one that a process takes; what it is as JSON may be too long,
// which is told before anything is made.
func TestRowEntrypointLong(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", `echo "length ${#LONG}"`)
	word := func(character string) []string {
		return []string{"sh", "-c", `LONG=$0 exec "$@"`, strings.Repeat(character, 100_000)}
	}
	j.Image.Entrypoint = word("&")
	wantLines(t, p.succeed(t, j), "length 100000")
	j.Image.Entrypoint = word("\x01")
	_, c := p.prepared(t, j)
	wantRefused(t, c, "entrypoint")
	for _, made := range filesBelow(t, filepath.Join(p.stateDir, "jobs")) {
		if filepath.Base(made) != "volume.json" { // the claim on the disk comes before the pulls
			t.Errorf("made before it was refused: %s", made)
		}
	}
}

// The reason is told, and the job goes on as with any entrypoint that fails.
func TestRowEntrypointThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "echo the job goes on")
	j.Image.Entrypoint = []string{"/no/such"}
	r := p.succeed(t, j)
	wantLines(t, r, "the job goes on")
	wantTold(t, r.Call("prepare"), `The image's entrypoint could not be started: entrypoint "/no/such": `, "no such file or directory")
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
			p := newPlace(t, settings{})
			j := with(job(t, "sh-only", `echo "it's a \"test\" of $WHAT" && echo bash${BASH_VERSION:-less}`), runner.Var("WHAT", "two words"))
			wantLines(t, p.succeed(t, with(j, variables...)), `it's a "test" of two words`, "bashless")
		})
	}
}

func TestImageWithoutShellFailsOnceAndClearly(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "no-shell", "true")
	r := p.runner.Play(j)
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
			p := newPlace(t, settings{job: c.settings})
			j := job(t, "bookworm", "echo uid $(id -u) gid $(id -g) home $HOME", "touch file && echo writable")
			j.Image.User = c.payload
			wantLines(t, p.succeed(t, j), c.want, "writable")
		})
	}
}

// An image given by ID is not pulled, and a job without one has no policy.
func TestRowImageDefaultByID(t *testing.T) {
	t.Parallel()
	id, err := world.engine.ImageID(t.Context(), image(t, "bookworm"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, settings{job: `image = "` + id + `"`})
	j := job(t, "bookworm", ". /etc/os-release; echo $VERSION_CODENAME")
	j.Image = runner.Image{}
	wantLines(t, p.succeed(t, j), "bookworm")
}

func TestRowEntrypointCleared(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "entrypoint-exec", `echo "mark ${ENTRYPOINT_MARK-unset}"`)
	j.Image.Entrypoint = []string{""}
	wantLines(t, p.succeed(t, j), "mark unset")
}
