package plan

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/integration/heap"
	"gitlab-sysbox-executor/stages/contract"
)

// serviceCall is a call whose job has variables of every kind.
func serviceCall() *contract.Call {
	return &contract.Call{
		Variables: map[string]string{
			"PUBLIC": "public", "SECRET": "hunter2", "OF_THE_RUNNER": "runner's", "FILE": "content", "VAULT": "vault's", "NAME": "postgres",
			"TMPDIR": "/x", "SYSBOX_Y": "1", "CI_PROJECT_DIR": "/builds/p",
		},
		Job: &contract.Job{
			Variables: []contract.Variable{
				{Key: "PUBLIC", Value: "public", Public: true}, {Key: "SECRET", Value: "hunter2"},
				{Key: "FILE", Value: "content", Public: true, File: true}, {Key: "NAME", Public: true},
			},
			Secrets: map[string]contract.Secret{"VAULT": {}},
		},
	}
}

// A service has what GitLab's Docker executor gives it: no secret of the job's
// unless the service asks for it by name.
func TestServiceVariables(t *testing.T) {
	c := serviceCall()
	s := contract.Image{Name: "$NAME:16", Alias: "${NAME}-db", Variables: []contract.Variable{
		{Key: "A", Value: "$PUBLIC-${SECRET}-$OTHER-$B-$$-$1-$FILE-$VAULT"}, {Key: "B", Value: "$PUBLIC"}, {Key: "RAW", Value: "$PUBLIC", Raw: true},
	}}
	all, err := services(c, config.Default(), []contract.Image{s}, config.Resources{}, logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"A=public-hunter2--$PUBLIC-$--/builds/p.tmp/FILE-/builds/p.tmp/VAULT", "B=public", "CI_PROJECT_DIR=/builds/p", "FILE=/builds/p.tmp/FILE", "NAME=postgres",
		"OF_THE_RUNNER=runner's", "PUBLIC=public", "RAW=$PUBLIC",
	}
	one := all[0]
	if !slices.Equal(one.Environment, want) {
		t.Errorf("got  %q\nwant %q", one.Environment, want)
	}
	if one.Image.Reference != "postgres:16" || !slices.Equal(one.Aliases, []string{"postgres", "postgres-db"}) || one.Label != "postgres-db" || one.Runtime != "sysbox-runc" {
		t.Errorf("%+v", one)
	}
}

func TestServicesLeaveOutTheUnreachable(t *testing.T) {
	var told bytes.Buffer
	log := logrus.New()
	log.SetOutput(&told)
	all, err := services(serviceCall(), config.Default(), []contract.Image{{Name: "redis"}, {Name: "redis"}, {Name: "redis", Alias: "second"}}, config.Resources{}, log)
	if err != nil || len(all) != 2 || !slices.Equal(all[1].Aliases, []string{"second"}) {
		t.Errorf("%+v, %v", all, err)
	}
	if strings.Count(told.String(), "is not started") != 1 {
		t.Error(told.String())
	}
}

// A service says for itself whether it boots systemd: the job's word is about the job.
func TestServiceSystemd(t *testing.T) {
	c := serviceCall()
	c.Variables[systemdVariable] = "true"
	for value, want := range map[string]string{"": "nil", "true": "true", "0": "false", "maybe": "an error"} {
		s := contract.Image{Name: "redis"}
		if value != "" {
			s.Variables = []contract.Variable{{Key: systemdVariable, Value: value}}
		}
		all, err := services(c, config.Default(), []contract.Image{s}, config.Resources{}, logrus.New())
		got := "nil"
		switch {
		case err != nil && fault.ClassOf(err) == fault.Job && strings.Contains(err.Error(), `service redis: the variable EXECUTOR_SYSTEMD="maybe" is neither true nor false`):
			got = "an error"
		case err != nil:
			t.Error(err)
		case all[0].Systemd != nil:
			got = strconv.FormatBool(*all[0].Systemd)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestServicesLimit(t *testing.T) {
	cfg := config.Default()
	cfg.Services.Limit = 0
	_, err := services(serviceCall(), cfg, []contract.Image{{Name: "redis"}}, config.Resources{}, logrus.New())
	if err == nil || fault.ClassOf(err) != fault.Job || err.Error() != "too many services requested: 1, only 0 allowed" {
		t.Error(err)
	}
}

// Whatever a job says of a service becomes part of a plan as it is, or is
// refused in one line.
func FuzzServices(f *testing.F) {
	f.Add("redis:7", "db,cache", "0:0", "KEY", "$PUBLIC", "command", "linux/arm64")
	f.Add("../x\n", "a\"b'", "root\x00", "A=B", strings.Repeat("$A", 100), "\x00", "x")
	f.Add("ü", "$SECRET", "\x1b", "", "${", "$(id)", "")
	f.Fuzz(func(t *testing.T, name, alias, user, key, value, command, platform string) {
		defer heap.Bounded(t)()
		s := contract.Image{Name: name, Alias: alias, Variables: []contract.Variable{{Key: key, Value: value}, {Key: "A", Value: value}}, Command: []string{command}}
		s.Options.Docker.User, s.Options.Docker.Platform = contract.UserID(user), platform
		all, err := services(serviceCall(), config.Default(), []contract.Image{s}, config.Resources{}, noLog)
		if err != nil {
			if fault.ClassOf(err) != fault.Job || strings.ContainsAny(err.Error(), "\n\x00\x1b") || len(err.Error()) > 1000 {
				t.Errorf("%.1100q", err)
			}
			return
		}
		for _, one := range all {
			if one.Command[0] != command {
				t.Errorf("command %q became %q", command, one.Command[0])
			}
			for _, a := range one.Aliases {
				if a == "" || strings.ContainsAny(a, "/ \n\"'$") {
					t.Errorf("alias %q", a)
				}
			}
			for _, kv := range one.Environment {
				if strings.ContainsRune(kv, 0) || strings.HasPrefix(kv, "SYSBOX_") || strings.HasPrefix(kv, "=") {
					t.Errorf("variable %q", kv)
				}
			}
		}
	})
}

// Many references to much are refused, and not first put together.
func TestExpansionIsBounded(t *testing.T) {
	s := contract.Image{Name: "redis", Variables: []contract.Variable{{Key: "A", Value: strings.Repeat("x", 100_000)}, {Key: "B", Value: strings.Repeat("$A", 50_000)}}}
	_, err := services(serviceCall(), config.Default(), []contract.Image{s}, config.Resources{}, logrus.New())
	if err == nil || fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), `variable "B"`) {
		t.Error(err)
	}
}

// What no process can be started with is refused before anything is made.
func TestImpossibleServices(t *testing.T) {
	long := strings.Repeat("x", 140_000)
	for name, change := range map[string]func(*contract.Image){
		"long argument":    func(s *contract.Image) { s.Command = []string{"echo", long} },
		"long entrypoint":  func(s *contract.Image) { s.Entrypoint = []string{long} },
		"NUL in argument":  func(s *contract.Image) { s.Command = []string{"a\x00b"} },
		"long variable":    func(s *contract.Image) { s.Variables = []contract.Variable{{Key: "A", Value: long, Raw: true}} },
		"long name":        func(s *contract.Image) { s.Variables = []contract.Variable{{Key: long, Value: "x"}} },
		"NUL in variable":  func(s *contract.Image) { s.Variables = []contract.Variable{{Key: "A", Value: "\x00"}} },
		"long user":        func(s *contract.Image) { s.Options.Docker.User = contract.UserID(long) },
		"long image":       func(s *contract.Image) { s.Name = long + "/" },
		"references in it": func(s *contract.Image) { s.Name = "$(id)${" },
	} {
		s := contract.Image{Name: "redis"}
		change(&s)
		_, err := services(serviceCall(), config.Default(), []contract.Image{s}, config.Resources{}, logrus.New())
		if err == nil || fault.ClassOf(err) != fault.Job || strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v", name, err)
		}
	}
}
