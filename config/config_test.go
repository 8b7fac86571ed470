package config

import (
	"reflect"
	"strings"
	"testing"
)

// wantErrors parses data as c.toml and compares the whole error, line by line;
// no lines mean that it must be accepted.
// parse reads a file where the environment says nothing.
func parse(file, data string) (*Config, error) {
	return read(file, data, func(string) string { return "" })
}

func wantErrors(t *testing.T, data string, want ...string) {
	t.Helper()
	_, err := parse("c.toml", data)
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\ngot:\n\t%s\nwant:\n\t%s", data, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestDefaultIsPossible(t *testing.T) {
	k := newChecker("defaults")
	Default().check(k)
	if err := k.err(); err != nil {
		t.Error(err)
	}
}

func TestDefaultListsAreNotNil(t *testing.T) {
	for field, value := range reflect.ValueOf(Default()).Elem().Fields() {
		if !isSection(field.Type) {
			continue
		}
		for inner, slice := range value.Fields() {
			if inner.Type.Kind() == reflect.Slice && slice.IsNil() {
				t.Errorf("%s.%s is nil; an empty list in a file is not, so write []string{}", field.Name, inner.Name)
			}
		}
	}
}

func TestEveryFieldCanBeAKey(t *testing.T) {
	var walk func(section reflect.Type)
	walk = func(section reflect.Type) {
		for field := range section.Fields() {
			if tag := field.Tag.Get("toml"); tag == "" || strings.ToLower(tag) != tag || strings.ContainsAny(tag, ",.- ") {
				t.Errorf("%s.%s: toml tag %q is not in snake_case", section.Name(), field.Name, tag)
			}
			switch {
			case isSection(field.Type):
				walk(field.Type)
			case wanted(field.Type) == field.Type.String():
				t.Errorf("%s.%s: decode cannot name what a %s takes", section.Name(), field.Name, field.Type)
			case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() != reflect.String:
				t.Errorf("%s.%s: decode knows lists of strings only", section.Name(), field.Name)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestTopLevel(t *testing.T) {
	wantErrors(t, `
runtime = "runc"
state_dir = "/srv/state"
log_level = "trace"`)
	wantErrors(t, `
runtime = ""
state_dir = "state"
log_level = "INFO"`,
		`c.toml:2: runtime: "" is not the name of a runtime; write for example "sysbox-runc"`,
		`c.toml:3: state_dir: "state" is not an absolute path; write for example "/var/lib/gitlab-sysbox-executor"`,
		`c.toml:4: log_level: "INFO" is not possible; write one of "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"`)
}

func TestRunAndCleanup(t *testing.T) {
	wantErrors(t, "run.kill_grace = \"4m59s\"\ncleanup.timeout = \"1ns\"")
	wantErrors(t, "run.kill_grace = \"5m\"\ncleanup.timeout = \"0\"",
		`c.toml:1: run.kill_grace: 5m0s is too long: the Runner starts the cleanup after 5m0s; write for example "10s"`,
		`c.toml:2: cleanup.timeout: must be greater than zero, for example "2m"`)
	wantErrors(t, "[run]\nkill_grace = \"-1s\"",
		`c.toml:2: run.kill_grace: must be greater than zero, for example "10s"`)
}
