package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// systemdScript tells what a job in a systemd container finds.
func systemdScript() []string {
	return []string{
		`echo "first process $(cat /proc/1/comm)"`,
		`echo "systemd $(systemctl is-system-running)"`,
		`echo "units failed: $(systemctl list-units --failed --no-legend --plain | cut -d' ' -f1 | paste -sd' ')"`,
		`echo "variable $GREETING, driver $STORAGE_DRIVER, tmpdir $TMPDIR"`,
		`[ -d "$TMPDIR" ] && [ -w "$TMPDIR" ] && echo tmpdir usable`,
		`echo "unit: $(systemd-run --quiet --wait --pipe /bin/sh -c 'echo driver $STORAGE_DRIVER, tmpdir $TMPDIR, options ${STORAGE_OPTS-unset}')"`,
		`findmnt -n -o FSTYPE /run | sed 's/^/run is /'`,
	}
}

var systemdWants = []string{
	"first process systemd",
	"variable two words, driver vfs, tmpdir /gsx/tmp",
	"tmpdir usable",
	"unit: driver vfs, tmpdir /gsx/tmp, options",
	"run is tmpfs",
}

func wantPrepared(t *testing.T, r *runner.Result, text string) {
	t.Helper()
	if said := r.Call("prepare").Output.String(); !strings.Contains(said, text) {
		t.Errorf("prepare did not say %q:\n%s", text, said)
	}
}

// An image that starts it, as it should or within a shell.
func TestSystemdIsTheFirstProcess(t *testing.T) {
	t.Parallel()
	for name, said := range harness.SomeOf(1, map[string]string{
		"systemd":       "Booting systemd",
		"systemd-shell": `The command "sh -c exec /sbin/init" starts systemd in a way that Sysbox does not see; /sbin/init is started directly instead.`,
	}) {
		t.Run(name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.With(harness.Job(t, name, append(systemdScript(), `echo "file: $(cat "$FILE")"`)...), runner.Var("GREETING", "two words"),
				runner.Variable{Key: "FILE", Value: "of the job", File: true})
			j.AfterScript = []string{`echo "after in $(cat /proc/1/comm)"`}
			compare, since := p.Unchanged(t), time.Now()
			r := p.Succeed(t, j)
			harness.WantLines(t, r, append(systemdWants, "systemd running", "units failed: ", "file: of the job")...)
			// A second signal would be KILL: systemd did not stop in time.
			if signals, err := harness.World.Engine.Events(t.Context(), "kill", r.Job.ID, since, time.Now()); err != nil || signals != 1 {
				t.Errorf("the container got %d signals: %v", signals, err)
			}
			wantPrepared(t, r, said)
			wantPrepared(t, r, "systemd is running after")
			if !r.Call(runner.StageAfter).Output.Has("after in systemd") {
				t.Error(r.Call(runner.StageAfter))
			}
			compare()
		})
	}
}

// An image that asks for it by its label, and one of whose
// units fails.
func TestSystemdByLabelNamesFailedUnits(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.With(harness.Job(t, "systemd-label", systemdScript()...), runner.Var("GREETING", "two words")))
	harness.WantLines(t, r, append(systemdWants, "systemd degraded", "units failed: fails.service")...)
	wantPrepared(t, r, "systemd is degraded after")
	wantPrepared(t, r, "failed units: fails.service.")
}

// The job's own word counts most.
func TestSystemdByVariable(t *testing.T) {
	t.Parallel()
	for name, c := range harness.SomeOf(2, map[string]struct{ image, value, entrypoint, want string }{
		"off":                     {"systemd", "false", "", "first process agent"},
		"on":                      {"systemd-label", "true", "", "first process systemd"},
		"off by clearing":         {"systemd", "", "clear", "first process agent"},
		"by the job's entrypoint": {"systemd-label", "", "/sbin/init", "first process systemd"},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.Job(t, c.image, `echo "first process $(cat /proc/1/comm)"`)
			if c.value != "" {
				j = harness.With(j, runner.Var("EXECUTOR_SYSTEMD", c.value))
			}
			switch c.entrypoint {
			case "":
			case "clear":
				j.Image.Entrypoint = []string{""}
			default:
				j.Image.Entrypoint = []string{c.entrypoint}
			}
			harness.WantLines(t, p.Succeed(t, j), c.want)
		})
	}
}

func TestSystemdVariableThatIsNeither(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Runner.Play(harness.With(harness.Job(t, "bookworm", "true"), runner.Var("EXECUTOR_SYSTEMD", "maybe")))
	if r.Outcome != runner.ScriptFailure {
		t.Error(r)
	}
	wantPrepared(t, r, `EXECUTOR_SYSTEMD="maybe" is neither true nor false`)
}

// An image without systemd cannot boot it: said in one line, soon.
func TestSystemdWhereThereIsNone(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	began := time.Now()
	r := p.Runner.Play(harness.With(harness.Job(t, "bookworm", "true"), runner.Var("EXECUTOR_SYSTEMD", "true")))
	if r.Outcome != runner.ScriptFailure || time.Since(began) > time.Minute {
		t.Error(time.Since(began), r)
	}
	wantPrepared(t, r, "has no /sbin/init, which systemd as the first process needs")
}

// What something in the image mounts over is refused, by name.
func TestHiddenMountIsRefused(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: `entrypoint_timeout = "60s"`})
	r := p.Runner.Play(harness.Job(t, "hiding", "true"))
	if r.Outcome != runner.ScriptFailure {
		t.Error(r)
	}
	wantPrepared(t, r, "/etc/containers/storage.conf: it is hidden by a tmpfs that was mounted on /etc/containers afterwards")
}

// The same of a service's container, which the job's author cannot look into.
func TestHiddenMountOfAServiceIsRefused(t *testing.T) {
	t.Parallel()
	// Nothing listens on the port, so the look at the service comes two seconds after its start.
	p := harness.NewPlace(t, harness.Settings{Other: "[services]\nwait_timeout = \"2s\""})
	j := harness.With(harness.Job(t, "bookworm", "true"), runner.Var("HEALTHCHECK_TCP_PORT", "9"))
	j.Services = []runner.Image{harness.Service(t, "hiding", "", "sh", "-c", "trap exit TERM; "+harness.Stay)}
	r := p.Runner.Play(j)
	if r.Outcome != runner.ScriptFailure {
		t.Error(r)
	}
	wantPrepared(t, r, "a mount of the container of service gsx-test/hiding:latest is not visible in it: /etc/containers/storage.conf: it is hidden by a tmpfs that was mounted on /etc/containers afterwards")
}

// The administrator's secret under /run/secrets is readable in a
// systemd job, also where something in the image mounts over it at boot; so are
// the administrator's tmpfs, and the job's services have all of it, too.
func TestSecretUnderRunInASystemdJob(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(harness.World.Dir, "secret-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("the token\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const hidden = "The mount at %s in %s was not visible: it is hidden by a tmpfs that was mounted on /run/secrets afterwards. It was mounted there again"
	for image, hides := range map[string]bool{"systemd": false, "systemd-hides": true} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			const tmpfs = "tmpfs = [\"/run/secrets/mine:size=1m\"]\n"
			p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[container]\nvolumes = [%q]\n%s[services]\n%s", dir+"/token:/run/secrets/token:ro", tmpfs, tmpfs)})
			j := harness.Job(t, image, "cat /run/secrets/token", "findmnt -n -o OPTIONS /run/secrets/token | grep -o '^ro' | sed 's/^/mounted /'",
				`echo "mine is $(findmnt -n -o FSTYPE,SIZE /run/secrets/mine | tr -s ' ')"`)
			j.Services = []runner.Image{harness.Service(t, image, "same")}
			r := p.Succeed(t, j)
			harness.WantLines(t, r, "the token", "mounted ro", "mine is tmpfs 1M")
			service := "Service gsx-test/" + image + ":latest: "
			wantPrepared(t, r, service+"Booting systemd")
			wantPrepared(t, r, service+"systemd is running")
			if !hides && strings.Contains(r.Call("prepare").Output.String(), "was not visible") {
				t.Error(r.Call("prepare"))
			}
			for _, container := range []string{"the job's container", "the container of service gsx-test/" + image + ":latest"} {
				for _, target := range []string{"/run/secrets/token", "/run/secrets/mine"} {
					if hides {
						wantPrepared(t, r, fmt.Sprintf(hidden, target, container))
					}
				}
			}
		})
	}
}

// A service boots it as the job does, whatever starts it there,
// and is stopped with it. A unit of it has the job's storage driver and TMPDIR.
func TestSystemdInServices(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm",
		"cat $TMPDIR/unit-*", `ls $TMPDIR | grep -c ^unit- | sed 's/^/services that booted: /'`)
	entry := harness.Service(t, "systemd-shell", "by-entrypoint")
	entry.Entrypoint = []string{"/lib/systemd/systemd"}
	variable := harness.Service(t, "systemd-shell", "by-variable", "sleep", "1000")
	variable.Variables = []runner.Variable{runner.Var("EXECUTOR_SYSTEMD", "true")}
	j.Services = []runner.Image{harness.Service(t, "systemd-shell", "by-image"), harness.Service(t, "systemd-shell", "by-command", "sh", "-c", "exec /sbin/init"), entry, variable}
	compare := p.Unchanged(t)
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "systemd vfs /gsx/tmp", "services that booted: 4")
	wantPrepared(t, r, `Service gsx-test/systemd-shell:latest: The command "sh -c exec /sbin/init" starts systemd in a way that Sysbox does not see`)
	compare()
}
