package hostile

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A job's author may write anything as a service. It runs as written or is refused in one
// line, and leaves nothing behind. The Runner cannot pass longer values on:
// stages/plan/services_test.go tests these.
func TestHostileServices(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	long := strings.Repeat("x", 100_000)
	for name, change := range harness.SomeOf(6, map[string]func(*runner.Image){
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
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, "bookworm", "true")
			s := harness.ShellService(t, "x", harness.Stay)
			change(&s)
			j.Services = []runner.Image{s}
			_, c := p.Prepared(t, j)
			harness.WantRefused(t, c)
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
			j := harness.Job(t, "bookworm", "getent hosts x")
			s := harness.ShellService(t, "x", harness.Stay)
			change(&s)
			j.Services = []runner.Image{s}
			if r := p.Runner.Play(j); strings.Contains(r.Log.String(), "WARNING") || r.Call("prepare").Err != nil {
				t.Error(r)
			}
		})
	}
}
