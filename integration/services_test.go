package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/engine"
	"gitlab-sysbox-executor/integration/runner"
)

// serviceOf is a service in a test image.
func serviceOf(t testing.TB, imageName, alias string, command ...string) runner.Image {
	t.Helper()
	return runner.Image{Name: image(t, imageName), Alias: alias, Command: command, PullPolicies: []string{"if-not-present"}}
}

// stay keeps a service's shell there until it is asked to end.
const stay = "sleep 1000 & wait"

// shell is a service of a shell script.
func shell(t testing.TB, alias, script string) runner.Image {
	t.Helper()
	return serviceOf(t, "bookworm", alias, "sh", "-c", "trap exit TERM; "+script)
}

// listener is a service that listens on a port after some seconds.
func listener(t testing.TB, alias string, port int, after string) runner.Image {
	t.Helper()
	s := serviceOf(t, "redis", alias, "sh", "-c",
		fmt.Sprintf("sleep %s; exec redis-server --port %d --bind '*' --protected-mode no", after, port))
	return s
}

// A service that says that it goes, and what a job does to see it gone: the engine
// says so a moment later.
const (
	going     = "touch /var/lib/containers/going; "
	untilGone = "until [ -e /var/lib/containers/going ]; do sleep 0.2; done; sleep 6"
)

// services are the session's service containers, in the order of the job's.
func services(t testing.TB, s *runner.Session) []engine.Container {
	t.Helper()
	found, err := world.engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID), "io.gitlab-sysbox-executor.role=service")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b engine.Object) int { return strings.Compare(a.Name, b.Name) })
	var all []engine.Container
	for _, f := range found {
		c, err := world.engine.Inspect(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// prepared plays config and prepare, and returns how the latter went.
func (p *place) prepared(t testing.TB, j runner.Job) (*runner.Session, *runner.Call) {
	t.Helper()
	s := p.configured(t, j)
	return s, s.Prepare(t.Context())
}

// wantTold wants these texts somewhere in what a call wrote.
func wantTold(t testing.TB, c *runner.Call, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.Output.String(), text) {
			t.Errorf("%q was not said in\n%s", text, c)
		}
	}
}

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

// wantRefused wants a call to fail as the job's fault, in one line that holds
// these texts and is not long.
func wantRefused(t testing.TB, c *runner.Call, texts ...string) {
	t.Helper()
	lines := slices.DeleteFunc(c.Output.Lines(), func(l runner.Line) bool { return !strings.Contains(l.Text, "ERROR:") })
	if c.Exit != 1 || len(lines) != 1 || len(lines[0].Text) > 1000 {
		t.Errorf("exit %d, %d lines of errors\n%.2000s", c.Exit, len(lines), c.Output)
		return
	}
	for _, text := range texts {
		if !strings.Contains(lines[0].Text, text) {
			t.Errorf("%q is not in %q", text, lines[0].Text)
		}
	}
}

// Row "services" of the table: PostgreSQL under two aliases and Redis.
func TestRowServices(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := with(job(t, "database-clients",
		"pg_isready -h db", "pg_isready -h postgres", "pg_isready -h gsx-test__postgres", "pg_isready -h gsx-test-postgres",
		`PGPASSWORD=s3cret psql -h db -U postgres -At -c "select 'answer ' || 6*7"`,
		"redis-cli -h cache ping", "redis-cli -h redis ping"),
		runner.Var("PASSWORD", "s3cret"))
	postgres := serviceOf(t, "postgres", "db,postgres")
	postgres.Variables = []runner.Variable{runner.Var("POSTGRES_PASSWORD", "${PASSWORD}")}
	j.Services = []runner.Image{postgres, serviceOf(t, "redis", "cache redis")}
	r := p.succeed(t, j)
	wantLines(t, r, "db:5432 - accepting connections", "postgres:5432 - accepting connections",
		"gsx-test__postgres:5432 - accepting connections", "gsx-test-postgres:5432 - accepting connections", "answer 42", "PONG")
	wantTold(t, r.Call("prepare"), "Starting service gsx-test/postgres:latest...",
		"Waiting for services to be up and running (timeout 30 seconds)...")
	if strings.Contains(r.Call("prepare").Output.String(), "WARNING") {
		t.Error(r.Call("prepare"))
	}
}

// A service that dies is told with its last lines, and not waited for.
func TestServiceThatCrashes(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[services]\nwait_timeout = \"2m\""})
	for name, c := range map[string]struct {
		service runner.Image
		script  string
		want    []string
	}{
		"with a port": {serviceOf(t, "postgres", "db"), "true", []string{
			"Service gsx-test/postgres:latest probably didn't start properly.", "Health check error:", "ended with exit code 1",
			"Service container logs:", "You must specify POSTGRES_PASSWORD to a non-empty value."}},
		// On a busy machine it has not died yet when prepare ends.
		"without a port": {shell(t, "x", "echo out; echo last words >&2; "+going+"exit 3"), untilGone, []string{
			"*** WARNING:", "Service gsx-test/bookworm:latest ", "ended with exit code 3", "\nout\n", "\nlast words\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job(t, "bookworm", c.script, "echo the job goes on")
			j.Services = []runner.Image{c.service}
			began := time.Now()
			r := p.succeed(t, j)
			wantTold(t, toldBy(t, r, "ended with exit code"), c.want...)
			wantLines(t, r, "the job goes on")
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s: the dead service was waited for", took)
			}
		})
	}
}

func TestServiceThatDiesWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "touch /var/lib/containers/go", untilGone, "exit 5")
	j.Services = []runner.Image{shell(t, "x", "until [ -e /var/lib/containers/go ]; do sleep 0.1; done; echo out of luck; "+going+"exit 9")}
	r := p.runner.Play(j)
	if r.ExitCode != 5 {
		t.Errorf("exit code %d", r.ExitCode)
	}
	wantTold(t, r.Call(runner.StageBuild), "Service gsx-test/bookworm:latest has ended while the job needed it.", "exit code 9", "out of luck")
}

func TestServiceThatIsDoneIsNoWarning(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", untilGone)
	j.Services = []runner.Image{shell(t, "x", going+"exit 0")}
	r := p.succeed(t, j)
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
			p := newPlace(t, settings{other: c.config})
			ping := "redis-cli -h x -p 6379 ping || redis-cli -h x -p 7777 ping"
			if c.warned != "" { // the service may not have begun yet
				ping = "for n in $(seq 60); do redis-cli -h x -p 7777 ping && break; sleep 1; done"
			}
			j := with(job(t, "database-clients", ping), c.variables...)
			j.Services = []runner.Image{c.service}
			r := p.runner.Play(j)
			prepare := r.Call("prepare")
			if said := strings.Contains(prepare.Output.String(), "*** WARNING:"); said != (c.warned != "") {
				t.Errorf("warned: %v\n%s", said, prepare)
			}
			wantTold(t, prepare, c.warned)
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
	p := newPlace(t, settings{other: "[services]\nwait_timeout = \"40s\""})
	j := job(t, "bookworm", "true")
	late := serviceOf(t, "healthcheck", "x")
	late.Variables = []runner.Variable{runner.Var("READY_AFTER", "2")}
	j.Services = []runner.Image{late}
	if c := p.succeed(t, j).Call("prepare"); strings.Contains(c.Output.String(), "WARNING") {
		t.Error(c)
	}
	p = newPlace(t, settings{other: "[services]\nwait_timeout = \"3s\""})
	late.Variables = []runner.Variable{runner.Var("READY_AFTER", "600")}
	j.Services = []runner.Image{late}
	wantTold(t, p.succeed(t, j).Call("prepare"), "probably didn't start properly", `the image's own health check says "starting"`)
}

// seen prints a file that a service writes.
func seen(path string) string {
	return "until [ -s " + path + " ]; do sleep 0.1; done; sleep 1; cat " + path
}

// What services share with the job: volumes, TMPDIR, storage settings.
func TestServicesShareStorageAndTMPDIR(t *testing.T) {
	t.Parallel()
	for _, tmpdir := range []string{"", "/var/lib/containers/other tmp", "/somewhere/else"} {
		t.Run(tmpdir, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			want := "/var/lib/containers/tmp"
			j := job(t, "bookworm", seen("/var/lib/containers/seen"))
			if tmpdir != "" {
				j, want = with(j, runner.Var("TMPDIR", tmpdir), runner.Var("STORAGE_DRIVER", "overlay")), tmpdir
			}
			j.Services = []runner.Image{shell(t, "x", `
				{ echo "tmpdir [$TMPDIR] $(stat -c %a "$TMPDIR")"; env | grep -c ^STORAGE_DRIVER=; echo "driver $STORAGE_DRIVER $(grep ^driver /etc/containers/storage.conf)"
				} >/var/lib/containers/seen; `+stay)}
			wantLines(t, p.succeed(t, j), "tmpdir ["+want+"] 1777", "1", `driver vfs driver = "vfs"`)
		})
	}
}

func TestServiceEntrypointCommandUserAndVariables(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := with(job(t, "bookworm", seen("/var/lib/containers/tmp/seen")), runner.Var("A", "a"), runner.Var("B", "b"),
		runner.Variable{Key: "HIDDEN", Value: "hidden"})
	s := serviceOf(t, "entrypoint-exec", "x", "it's $A", "two\nlines")
	s.Entrypoint = []string{"sh", "-c", `{ printf 'arg [%s]\n' "$0" "$@"; id -u; echo "$A $B $C $RAW [$HIDDEN] $ASKED"; } >$TMPDIR/seen; trap exit TERM; ` + stay}
	s.User = "1234:5678"
	s.Variables = []runner.Variable{
		runner.Var("B", "own"), runner.Var("C", "<$A$B$NONE>"), {Key: "RAW", Value: "$A", Raw: true}, runner.Var("ASKED", "$HIDDEN"),
	}
	j.Services = []runner.Image{s}
	wantLines(t, p.succeed(t, j), "arg [it's $A]", "arg [two", "lines]", "1234", "a own <aown> $A [] hidden")
}

// An empty entrypoint clears the image's.
func TestServiceEntrypointCleared(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", seen("/var/lib/containers/tmp/seen"))
	s := serviceOf(t, "entrypoint-ignores", "x", "sh", "-c", "trap exit TERM; echo cleared >$TMPDIR/seen; "+stay)
	s.Entrypoint = []string{""}
	j.Services = []runner.Image{s}
	wantLines(t, p.succeed(t, j), "cleared")
}

func TestServiceAliasesInUse(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "bookworm", "getent hosts one two build | wc -l")
	j.Services = []runner.Image{shell(t, "one", stay), shell(t, "one,two,build", stay), shell(t, "", stay)}
	r := p.succeed(t, j)
	wantLines(t, r, "3")
	wantTold(t, r.Call("prepare"),
		`Skipping alias "one" for service "gsx-test/bookworm:latest" (services[1]): alias is already in use by another service.`,
		`(services[2]) is not started: no name is left to reach it by.`)
}

func TestDebugServices(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := with(job(t, "bookworm", "touch /var/lib/containers/go", "sleep 4"), runner.Var("CI_DEBUG_SERVICES", "true"))
	j.AfterScript = []string{"touch /var/lib/containers/after", "sleep 4"}
	j.Services = []runner.Image{shell(t, "talker", `echo at the start
		until [ -e /var/lib/containers/go ]; do sleep 0.1; done; echo in the script
		until [ -e /var/lib/containers/after ]; do sleep 0.1; done; echo in the after_script >&2; `+stay)}
	r := p.succeed(t, j)
	for stage, text := range map[string]string{
		"prepare": "at the start", runner.StageBuild: "in the script", runner.StageAfter: "in the after_script",
	} {
		found := 0
		for _, l := range r.Log.Lines() {
			if strings.Contains(l.Text, "[service:talker] 20") && strings.Contains(l.Text, "Z "+text) {
				if found++; l.Stage != stage {
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
		p := newPlace(t, settings{other: c.config})
		j := with(job(t, "bookworm", "true"), runner.Var("CI_DEBUG_SERVICES", c.value))
		j.Services = []runner.Image{shell(t, "talker", `echo hello; `+stay)}
		if r := p.succeed(t, j); strings.Contains(r.Log.String(), "[service:talker]") {
			t.Errorf("%v: %s", c, r.Log)
		}
	}
}

func TestServicesLimit(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[services]\nlimit = 1"})
	j := job(t, "bookworm", "true")
	j.Services = []runner.Image{shell(t, "a", stay), shell(t, "b", stay)}
	_, c := p.prepared(t, j)
	wantRefused(t, c, "too many services requested: 2, only 1 allowed")
}

// What a job may say of its services is hostile: it runs as written or is
// refused in one line, and nothing of it is left behind. What is longer the Runner
// itself cannot hand over: stages/services_test.go has it.
func TestHostileServices(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	long := strings.Repeat("x", 100_000)
	for name, change := range map[string]func(*runner.Image){
		"alias with a path":         func(s *runner.Image) { s.Alias = "../../etc" },
		"alias with quotes":         func(s *runner.Image) { s.Alias = `a"b'$(id)` },
		"alias in unicode":          func(s *runner.Image) { s.Alias = "dätenbank" },
		"alias of 100 kB":           func(s *runner.Image) { s.Alias = long },
		"alias with an escape":      func(s *runner.Image) { s.Alias = "a\x1b[31mb" },
		"name with a newline":       func(s *runner.Image) { s.Name = "redis\nERROR: x" },
		"name with a path":          func(s *runner.Image) { s.Name = "../../etc/passwd" },
		"name of 100 kB":            func(s *runner.Image) { s.Name = long + "/" },
		"no name":                   func(s *runner.Image) { s.Name = "" },
		"user with a newline":       func(s *runner.Image) { s.User = "root\nx" },
		"user of 100 kB":            func(s *runner.Image) { s.User = long },
		"variable without a name":   func(s *runner.Image) { s.Variables = []runner.Variable{runner.Var("", "x")} },
		"variable with = in it":     func(s *runner.Image) { s.Variables = []runner.Variable{runner.Var("A=B", "x")} },
		"nothing to run":            func(s *runner.Image) { s.Entrypoint, s.Command = []string{""}, nil },
		"command that is not there": func(s *runner.Image) { s.Command = []string{"no-such-command\nERROR: x"} },
		"port that is none":         func(s *runner.Image) { s.Variables = []runner.Variable{runner.Var("HEALTHCHECK_TCP_PORT", "80;id")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job(t, "bookworm", "true")
			s := shell(t, "x", stay)
			change(&s)
			j.Services = []runner.Image{s}
			_, c := p.prepared(t, j)
			wantRefused(t, c)
		})
	}
	for name, change := range map[string]func(*runner.Image){
		"aliases by newlines": func(s *runner.Image) { s.Alias = "a\nb\t,c" },
		"command with anything in it": func(s *runner.Image) {
			s.Command = append(s.Command, "\n", "'", `"`, "$(touch /x)", "../", "ü", "\x1b", long)
		},
		"variable with anything in it": func(s *runner.Image) {
			s.Variables = []runner.Variable{runner.Var("A", "\n'\"$(id)`id`../ü\x1b"), runner.Var("SYSBOX_NONSENSE", "1"), runner.Var("B", long)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job(t, "bookworm", "getent hosts x a")
			s := shell(t, "x", stay)
			change(&s)
			j.Services = []runner.Image{s}
			if r := p.runner.Play(j); strings.Contains(r.Log.String(), "WARNING") || r.Call("prepare").Err != nil {
				t.Error(r)
			}
		})
	}
}

// Limits of services: their own, else those of the job.
func TestServiceResourcesAndRuntime(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: fmt.Sprintf(
		"[resources]\nmemory = \"512m\"\npids_limit = 300\n[services]\nruntime = %q\ntmpfs = [\"/scratch:size=4m\"]\n[services.resources]\nmemory = \"256m\"\n", world.runtime)})
	j := job(t, "bookworm", "true")
	j.Services = []runner.Image{shell(t, "a", stay)}
	s, c := p.prepared(t, j)
	if c.Err != nil {
		t.Fatal(c)
	}
	found := services(t, s)
	if len(found) != 1 {
		t.Fatal(found)
	}
	h := found[0].HostConfig
	if h.Memory != 256<<20 || h.PidsLimit != 300 || h.Runtime != world.runtime || h.Tmpfs["/scratch"] != "size=4m" || h.AutoRemove {
		t.Errorf("%+v", h)
	}
}
