package services

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// listener is a service that listens on a port after some seconds.
func listener(t testing.TB, alias string, port int, after string) runner.Image {
	t.Helper()
	s := harness.Service(t, "redis", alias, "sh", "-c",
		fmt.Sprintf("sleep %s; exec redis-server --port %d --bind '*' --protected-mode no", after, port))
	return s
}

// A service that says that it goes, and what a job does to see it gone: the engine
// says so a moment later.
const (
	going     = "touch /var/lib/containers/going; "
	untilGone = "until [ -e /var/lib/containers/going ]; do sleep 0.2; done; sleep 6"
)

// toldBy is the call that wrote this text, which one does once.
func toldBy(t testing.TB, r *runner.Result, text string) *runner.Call {
	t.Helper()
	var by *runner.Call
	for _, c := range r.Calls {
		if strings.Contains(c.Output.String(), text) {
			by = c
		}
	}
	if n := strings.Count(r.Log.String(), text); n != 1 {
		t.Fatalf("%q was said %d times in\n%s", text, n, r)
	}
	return by
}

// Row "services" of the table: PostgreSQL under two aliases and Redis.
func TestRowServices(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "database-clients",
		"pg_isready -h db", "pg_isready -h postgres", "pg_isready -h gsx-test__postgres", "pg_isready -h gsx-test-postgres",
		`PGPASSWORD=s3cret psql -h db -U postgres -At -c "select 'answer ' || 6*7"`,
		"redis-cli -h cache ping", "redis-cli -h redis ping"),
		runner.Var("PASSWORD", "s3cret"))
	postgres := harness.Service(t, "postgres", "db,postgres")
	postgres.Variables = []runner.Variable{runner.Var("POSTGRES_PASSWORD", "${PASSWORD}")}
	j.Services = []runner.Image{postgres, harness.Service(t, "redis", "cache redis")}
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "db:5432 - accepting connections", "postgres:5432 - accepting connections",
		"gsx-test__postgres:5432 - accepting connections", "gsx-test-postgres:5432 - accepting connections", "answer 42", "PONG")
	harness.WantTold(t, r.Call("prepare"), "Starting service gsx-test/postgres:latest...",
		"Waiting for services to be up and running (timeout 30 seconds)...")
	if strings.Contains(r.Call("prepare").Output.String(), "WARNING") {
		t.Error(r.Call("prepare"))
	}
}

// The job log reports a service that ends, with its last lines, and prepare does not wait for it.
func TestServiceThatCrashes(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[services]\nwait_timeout = \"2m\""})
	for name, c := range map[string]struct {
		service runner.Image
		script  string
		want    []string
	}{
		"with a port": {harness.Service(t, "postgres", "db"), "true", []string{
			"Service gsx-test/postgres:latest probably didn't start properly.", "Health check error:", "ended with exit code 1",
			"Service container logs:", "You must specify POSTGRES_PASSWORD to a non-empty value."}},
		// On a busy machine it has not died yet when prepare ends.
		"without a port": {harness.ShellService(t, "x", "echo out; echo last words >&2; "+going+"exit 3"), untilGone, []string{
			"*** WARNING:", "Service gsx-test/bookworm:latest ", "ended with exit code 3", "\nout\n", "\nlast words\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, "bookworm", c.script, "echo the job goes on")
			j.Services = []runner.Image{c.service}
			began := time.Now()
			r := p.Succeed(t, j)
			harness.WantTold(t, toldBy(t, r, "ended with exit code"), c.want...)
			harness.WantLines(t, r, "the job goes on")
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s: the dead service was waited for", took)
			}
		})
	}
}

func TestServiceThatDiesWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "touch /var/lib/containers/go", untilGone, "exit 5")
	j.Services = []runner.Image{harness.ShellService(t, "x", "until [ -e /var/lib/containers/go ]; do sleep 0.1; done; sleep 2; echo out of luck; "+going+"exit 9")} // not early
	r := p.Runner.Play(j)
	if r.ExitCode != 5 {
		t.Errorf("exit code %d", r.ExitCode)
	}
	harness.WantTold(t, r.Call(runner.StageBuild), "Service gsx-test/bookworm:latest has ended while the job needed it.", "exit code 9", "out of luck")
}

func TestServiceThatIsDoneIsNoWarning(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", untilGone)
	j.Services = []runner.Image{harness.ShellService(t, "x", going+"exit 0")}
	r := p.Succeed(t, j)
	toldBy(t, r, "Service gsx-test/bookworm:latest: its first process has ended with exit code 0.")
	if strings.Contains(r.Log.String(), "WARNING") {
		t.Error(r)
	}
}

// Which port is waited for, and for how long.
func TestServiceReadiness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		service   runner.Image
		variables []runner.Variable
		config    string
		ready     bool // when prepare ends, or a minute later where it warned
		warned    string
	}{
		"an exposed port": {service: listener(t, "x", 6379, "2"), ready: true},
		"HEALTHCHECK_TCP_PORT": {
			service: listener(t, "x", 7777, "2"), ready: true,
			variables: []runner.Variable{runner.Var("HEALTHCHECK_TCP_PORT", "7777")},
		},
		"a port that nobody opens": {
			service: listener(t, "x", 7777, "0"), config: "[services]\nwait_timeout = \"2s\"", ready: true,
			warned: "no connection to TCP port 6379 within 2s",
		},
		"nobody waits": {service: listener(t, "x", 6379, "300"), config: "[services]\nwait_timeout = \"-1s\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: c.config})
			ping := "redis-cli -h x -p 6379 ping || redis-cli -h x -p 7777 ping"
			if c.warned != "" { // the service may not have begun yet
				ping = "for n in $(seq 60); do redis-cli -h x -p 7777 ping && break; sleep 1; done"
			}
			j := harness.With(harness.Job(t, "database-clients", ping), c.variables...)
			j.Services = []runner.Image{c.service}
			r := p.Runner.Play(j)
			prepare := r.Call("prepare")
			if said := strings.Contains(prepare.Output.String(), "*** WARNING:"); said != (c.warned != "") {
				t.Errorf("warned: %v\n%s", said, prepare)
			}
			harness.WantTold(t, prepare, c.warned)
			if waited := strings.Contains(prepare.Output.String(), "Waiting for services"); waited == strings.Contains(c.config, "-1s") {
				t.Errorf("waited: %v", waited)
			}
			if ready := r.Call(runner.StageBuild).Output.Has("PONG"); ready != c.ready {
				t.Errorf("ready: %v\n%s", ready, r.Call(runner.StageBuild))
			}
		})
	}
}

// The image's own check counts, though its port is closed and its own interval
// is a minute.
func TestServiceHealthcheck(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[services]\nwait_timeout = \"40s\""})
	j := harness.Job(t, "bookworm", "true")
	late := harness.Service(t, "healthcheck", "x")
	late.Variables = []runner.Variable{runner.Var("READY_AFTER", "2")}
	j.Services = []runner.Image{late}
	if c := p.Succeed(t, j).Call("prepare"); strings.Contains(c.Output.String(), "WARNING") {
		t.Error(c)
	}
	p = harness.NewPlace(t, harness.Settings{Other: "[services]\nwait_timeout = \"3s\""})
	late.Variables = []runner.Variable{runner.Var("READY_AFTER", "600")}
	j.Services = []runner.Image{late}
	harness.WantTold(t, p.Succeed(t, j).Call("prepare"), "probably didn't start properly", `the image's health check reports "starting"`)
}

// seen prints a file that a service writes.
func seen(path string) string {
	return "until [ -s " + path + " ]; do sleep 0.1; done; sleep 1; cat " + path
}

// Services share volumes, TMPDIR and storage settings with the job.
func TestServicesShareStorageAndTMPDIR(t *testing.T) {
	t.Parallel()
	for _, tmpdir := range []string{"", "/var/lib/containers/other tmp", "/somewhere/else"} {
		t.Run(tmpdir, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			want := "/gsx/tmp"
			j := harness.Job(t, "bookworm", seen("/var/lib/containers/seen"))
			if tmpdir != "" {
				j, want = harness.With(j, runner.Var("TMPDIR", tmpdir), runner.Var("STORAGE_DRIVER", "overlay")), tmpdir
			}
			j.Services = []runner.Image{harness.ShellService(t, "x", `
				{ echo "tmpdir [$TMPDIR] $(stat -c %a "$TMPDIR")"; env | grep -c ^STORAGE_DRIVER=; echo "driver $STORAGE_DRIVER $(grep ^driver /etc/containers/storage.conf)"
				} >/var/lib/containers/seen; `+harness.Stay)}
			harness.WantLines(t, p.Succeed(t, j), "tmpdir ["+want+"] 1777", "1", `driver vfs driver = "vfs"`)
		})
	}
}

func TestServiceEntrypointCommandUserAndVariables(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "bookworm", seen("/var/lib/containers/tmp/seen")), runner.Var("A", "a"), runner.Var("B", "b"),
		runner.Variable{Key: "HIDDEN", Value: "hidden"})
	s := harness.Service(t, "entrypoint-exec", "x", "it's $A", "two\nlines")
	s.Entrypoint = []string{"sh", "-c", `{ printf 'arg [%s]\n' "$0" "$@"; id -u; echo "$A $B $C $RAW [$HIDDEN] $ASKED"; } >$TMPDIR/seen; trap exit TERM; ` + harness.Stay}
	s.User = "1234:5678"
	s.Variables = []runner.Variable{
		runner.Var("B", "own"), runner.Var("C", "<$A$B$NONE>"), {Key: "RAW", Value: "$A", Raw: true}, runner.Var("ASKED", "$HIDDEN"),
	}
	j.Services = []runner.Image{s}
	harness.WantLines(t, p.Succeed(t, j), "arg [it's $A]", "arg [two", "lines]", "1234", "a own <aown> $A [] hidden")
}

// An empty entrypoint clears the image's.
func TestServiceEntrypointCleared(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", seen("/var/lib/containers/tmp/seen"))
	s := harness.Service(t, "entrypoint-ignores", "x", "sh", "-c", "trap exit TERM; echo cleared >$TMPDIR/seen; "+harness.Stay)
	s.Entrypoint = []string{""}
	j.Services = []runner.Image{s}
	harness.WantLines(t, p.Succeed(t, j), "cleared")
}

func TestServiceAliasesInUse(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "getent hosts one two build | wc -l")
	j.Services = []runner.Image{harness.ShellService(t, "one", harness.Stay), harness.ShellService(t, "one,two,build", harness.Stay), harness.ShellService(t, "", harness.Stay)}
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "3")
	harness.WantTold(t, r.Call("prepare"),
		`Skipping alias "one" for service "gsx-test/bookworm:latest" (services[1]): alias is already in use by another service.`,
		`(services[2]) is not started: other services have all of its names.`)
}

func TestDebugServices(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "bookworm", "touch /var/lib/containers/go", "sleep 4"), runner.Var("CI_DEBUG_SERVICES", "true"))
	j.AfterScript = []string{"touch /var/lib/containers/after", "sleep 4"}
	j.Services = []runner.Image{harness.ShellService(t, "talker", `echo at the start
		until [ -e /var/lib/containers/go ]; do sleep 0.1; done; echo in the script
		until [ -e /var/lib/containers/after ]; do sleep 0.1; done; echo in the after_script >&2; `+harness.Stay)}
	r := p.Succeed(t, j)
	for stage, text := range map[string]string{
		"": "at the start", runner.StageBuild: "in the script", runner.StageAfter: "in the after_script",
	} {
		found := 0
		for _, l := range r.Log.Lines() {
			if strings.Contains(l.Text, "[service:talker] 20") && strings.Contains(l.Text, "Z "+text) {
				// Nobody waits for the start: it may be over before or after prepare is.
				if found++; stage != "" && l.Stage != stage {
					t.Errorf("%q came in %s", text, l.Stage)
				}
			}
		}
		if found != 1 {
			t.Errorf("%q came %d times", text, found)
		}
	}
}

func TestDebugServicesOnlyWhereAllowedAndWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, value string }{{"[services]\ndebug_logs = false", "true"}, {"", "false"}, {"", "perhaps"}} {
		p := harness.NewPlace(t, harness.Settings{Other: c.config})
		j := harness.With(harness.Job(t, "bookworm", "true"), runner.Var("CI_DEBUG_SERVICES", c.value))
		j.Services = []runner.Image{harness.ShellService(t, "talker", `echo hello; `+harness.Stay)}
		if r := p.Succeed(t, j); strings.Contains(r.Log.String(), "[service:talker]") {
			t.Errorf("%v: %s", c, r.Log)
		}
	}
}

func TestServicesLimit(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[services]\nlimit = 1"})
	j := harness.Job(t, "bookworm", "true")
	j.Services = []runner.Image{harness.ShellService(t, "a", harness.Stay), harness.ShellService(t, "b", harness.Stay)}
	_, c := p.Prepared(t, j)
	harness.WantRefused(t, c, "too many services requested: 2, only 1 allowed")
}

// Limits of services: their own, else those of the job.
func TestServiceResourcesAndRuntime(t *testing.T) {
	t.Parallel()
	harness.NeedsMemoryController(t)
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf(
		"[resources]\nmemory = \"512m\"\npids_limit = 300\n[services]\nruntime = %q\ntmpfs = [\"/scratch:size=4m\"]\n[services.resources]\nmemory = \"256m\"\n", harness.World.Runtime)})
	j := harness.Job(t, "bookworm", "true")
	j.Services = []runner.Image{harness.ShellService(t, "a", harness.Stay)}
	s, c := p.Prepared(t, j)
	if c.Err != nil {
		t.Fatal(c)
	}
	found := harness.ServicesOf(t, s)
	if len(found) != 1 {
		t.Fatal(found)
	}
	h := found[0].HostConfig
	if h.Memory != 256<<20 || h.PidsLimit != 300 || h.Runtime != harness.World.Runtime || h.Tmpfs["/scratch"] != "size=4m" || h.AutoRemove {
		t.Errorf("%+v", h)
	}
}

// When the job is over, a service is killed at once, or it has the time that the configuration gives it.
func TestServiceStopGrace(t *testing.T) {
	t.Parallel()
	for grace, want := range map[string]string{"0s": "it wrote: none", "5s": "it wrote: ended"} {
		t.Run(grace, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Keep: true, Other: fmt.Sprintf("[services]\nstop_grace = %q", grace)})
			project := harness.NewProject()
			with := func(j runner.Job) runner.Job {
				j.ProjectID = project
				return j
			}
			first := with(harness.Job(t, "bookworm", "until [ -e /cache/begun ]; do sleep 0.1; done"))
			first.Services = []runner.Image{harness.ShellService(t, "x", "trap 'echo ended >/cache/ended; exit' TERM; touch /cache/begun; while :; do sleep 0.1; done")}
			p.Succeed(t, first)
			harness.WantLines(t, p.Succeed(t, with(harness.Job(t, "bookworm", `echo "it wrote: $(cat /cache/ended || echo none)"`))), want)
		})
	}
}
