package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/runner"
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
	"variable two words, driver vfs, tmpdir /var/lib/containers/tmp",
	"tmpdir usable",
	"unit: driver vfs, tmpdir /var/lib/containers/tmp, options",
	"run is tmpfs",
}

func wantPrepared(t *testing.T, r *runner.Result, text string) {
	t.Helper()
	if said := r.Call("prepare").Output.String(); !strings.Contains(said, text) {
		t.Errorf("prepare did not say %q:\n%s", text, said)
	}
}

// Issue 6, systemd: an image that starts it, as it should or within a shell.
func TestSystemdIsTheFirstProcess(t *testing.T) {
	for name, said := range map[string]string{
		"systemd":       "Booting systemd",
		"systemd-shell": `The command "sh -c exec /sbin/init" starts systemd in a way that Sysbox does not see; /sbin/init is started directly instead.`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, settings{})
			j := with(job(t, name, systemdScript()...), runner.Var("GREETING", "two words"))
			j.AfterScript = []string{`echo "after in $(cat /proc/1/comm)"`}
			compare := p.unchanged(t)
			r := p.succeed(t, j)
			wantLines(t, r, append(systemdWants, "systemd running", "units failed: ")...)
			wantPrepared(t, r, said)
			wantPrepared(t, r, "systemd is running after")
			if !r.Call(runner.StageAfter).Output.Has("after in systemd") {
				t.Error(r.Call(runner.StageAfter))
			}
			compare()
		})
	}
}

// Issue 6, systemd: an image that asks for it by its label, and one of whose
// units fails.
func TestSystemdByLabelNamesFailedUnits(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	r := p.succeed(t, with(job(t, "systemd-label", systemdScript()...), runner.Var("GREETING", "two words")))
	wantLines(t, r, append(systemdWants, "systemd degraded", "units failed: fails.service")...)
	wantPrepared(t, r, "systemd is degraded after")
	wantPrepared(t, r, "failed units: fails.service.")
}

// Issue 6, systemd: the job's own word counts most.
func TestSystemdByVariable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ image, value, entrypoint, want string }{
		"off":                     {"systemd", "false", "", "first process agent"},
		"on":                      {"systemd-label", "true", "", "first process systemd"},
		"off by clearing":         {"systemd", "", "clear", "first process agent"},
		"by the job's entrypoint": {"systemd-label", "", "/sbin/init", "first process systemd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			j := job(t, c.image, `echo "first process $(cat /proc/1/comm)"`)
			if c.value != "" {
				j = with(j, runner.Var("EXECUTOR_SYSTEMD", c.value))
			}
			switch c.entrypoint {
			case "":
			case "clear":
				j.Image.Entrypoint = []string{""}
			default:
				j.Image.Entrypoint = []string{c.entrypoint}
			}
			wantLines(t, p.succeed(t, j), c.want)
		})
	}
}

func TestSystemdVariableThatIsNeither(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	r := p.runner.Play(with(job(t, "bookworm", "true"), runner.Var("EXECUTOR_SYSTEMD", "maybe")))
	if r.Outcome != runner.ScriptFailure {
		t.Error(r)
	}
	wantPrepared(t, r, `EXECUTOR_SYSTEMD="maybe" is neither true nor false`)
}

// An image without systemd cannot boot it: said in one line, soon.
func TestSystemdWhereThereIsNone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	began := time.Now()
	r := p.runner.Play(with(job(t, "bookworm", "true"), runner.Var("EXECUTOR_SYSTEMD", "true")))
	if r.Outcome != runner.ScriptFailure || time.Since(began) > time.Minute {
		t.Error(time.Since(began), r)
	}
	wantPrepared(t, r, "has no /sbin/init, which systemd as the first process needs")
}

// Issue 6, mounts: what something in the image mounts over is refused, by name.
func TestHiddenMountIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{job: `entrypoint_timeout = "60s"`})
	r := p.runner.Play(job(t, "hiding", "true"))
	if r.Outcome != runner.ScriptFailure {
		t.Error(r)
	}
	wantPrepared(t, r, "/etc/containers/storage.conf: it is hidden by a tmpfs that was mounted on /etc/containers afterwards")
}

// Issue 6, 4: the administrator's secret under /run/secrets is readable in a
// systemd job, also where something in the image mounts over it at boot.
func TestSecretUnderRunInASystemdJob(t *testing.T) {
	t.Parallel()
	for image, said := range map[string]string{
		"systemd":       "",
		"systemd-hides": "The mount at /run/secrets/token was not visible: it is hidden by a tmpfs that was mounted on /run/secrets afterwards. It was mounted there again",
	} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp(world.dir, "secret-")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "token"), []byte("the token\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			p := newPlace(t, settings{other: fmt.Sprintf("[container]\nvolumes = [%q]\n", dir+"/token:/run/secrets/token:ro")})
			r := p.succeed(t, job(t, image, "cat /run/secrets/token", "findmnt -n -o OPTIONS /run/secrets/token | grep -o '^ro' | sed 's/^/mounted /'"))
			wantLines(t, r, "the token", "mounted ro")
			if said != "" {
				wantPrepared(t, r, said)
			} else if strings.Contains(r.Call("prepare").Output.String(), "was not visible") {
				t.Error(r.Call("prepare"))
			}
		})
	}
}
