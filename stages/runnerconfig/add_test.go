package runnerconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = "/usr/bin/gitlab-sysbox-executor"

// lines is the section as Add writes it, with this indentation of the keys.
func lines(indent string) string {
	var b strings.Builder
	for _, k := range Section(program) {
		b.WriteString(indent + k.line() + "\n")
	}
	return b.String()
}

const others = `# Written by hand, with a tab	and "quotes".
concurrent = 4 # two for each core
check_interval = 0

[session_server]
  session_timeout = 1800

[[runners]] # the first
  name = "docker"
  token = "glrt-one"
  executor = "docker"
  [runners.docker]
    image = "debian"

`

// end is what follows the runner.
const end = `
# About the last one.
[[runners]]
  name = "last"
  executor = "shell"
`

func TestAdd(t *testing.T) {
	runner := "[[runners]]\n  name = \"sysbox\"\n  executor = \"custom\"\n"
	for _, tc := range []struct{ name, before, after string }{
		{"no section", others + runner + end, others + runner + "  [runners.custom]\n" + lines("    ") + end},
		{"the last, with a section of its own", others + runner + "  [runners.cache]\n    Shared = true # yes\n", others + runner + "  [runners.cache]\n    Shared = true # yes\n  [runners.custom]\n" + lines("    ")},
		{"an empty table behind it", runner + "  [runners.cache]\n\n# more\n[session_server]\n", runner + "  [runners.cache]\n  [runners.custom]\n" + lines("    ") + "\n# more\n[session_server]\n"},
		{"no line break at the end", strings.TrimSuffix(others+runner, "\n"), others + runner + "  [runners.custom]\n" + strings.TrimSuffix(lines("    "), "\n")},
		{"not indented", "[[runners]]\nname = 'sysbox'\nexecutor = 'custom'\n", "[[runners]]\nname = 'sysbox'\nexecutor = 'custom'\n[runners.custom]\n" + lines("  ")},
		{"as registered", runner + "  [runners.custom] # by register\n    run_exec = \"\" # later\n" + end,
			runner + "  [runners.custom] # by register\n" + strings.Replace(lines("    "), "    run_exec = \""+program+"\"\n", "", 1) + "    run_exec = \"" + program + "\" # later\n" + end},
		{"with a time and an empty list", runner + "  [runners.custom]\n    graceful_kill_timeout = 200\n    run_args   =\t[] # none\n    cleanup_exec_timeout = 300\n",
			runner + "  [runners.custom]\n" + cut(lines("    "), "graceful_kill", "run_args") + "    graceful_kill_timeout = 200\n    run_args   =\t[\"run\"] # none\n    cleanup_exec_timeout = 300\n"},
		{"complete", runner + "  [runners.custom]\n" + lines("\t") + end, runner + "  [runners.custom]\n" + lines("\t") + end},
		{"complete, in one line", runner + "  custom = {" + strings.ReplaceAll(strings.TrimSpace(lines("")), "\n", ", ") + "}\n", runner + "  custom = {" + strings.ReplaceAll(strings.TrimSpace(lines("")), "\n", ", ") + "}\n"},
		{"a multi-line value before it", "[[runners]]\n  name = \"sysbox\"\n  executor = \"custom\"\n  pre_build_script = '''\n[[runners]]\nname = \"no\"\n'''\n", "[[runners]]\n  name = \"sysbox\"\n  executor = \"custom\"\n  pre_build_script = '''\n[[runners]]\nname = \"no\"\n'''\n  [runners.custom]\n" + lines("    ")},
		{"line breaks of Windows", strings.ReplaceAll(others+runner+end, "\n", "\r\n"), strings.ReplaceAll(others+runner+"  [runners.custom]\n"+lines("    ")+end, "\n", "\r\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Add([]byte(tc.before), "sysbox", Section(program))
			if err != nil || string(got) != tc.after {
				t.Fatalf("%v\ngot:\n%s\nwant:\n%s", err, got, tc.after)
			}
			again, err := Add(got, "sysbox", Section(program))
			if err != nil || string(again) != tc.after {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

// cut leaves out the lines of these keys.
func cut(text string, keys ...string) string {
	var b strings.Builder
next:
	for line := range strings.Lines(text) {
		for _, k := range keys {
			if strings.Contains(line, k) {
				continue next
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestAddRefuses(t *testing.T) {
	const custom = "[[runners]]\n  name = \"sysbox\"\n  executor = \"custom\"\n  token = \"glrt-secret\"\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "there is no runner yet"},
		{"no TOML", custom + "[[runners]\n", "not TOML from line 6 on"},
		{"a secret in a syntax error", custom + "token = \"glrt-secret", "not TOML from line 5 on"},
		{"not a list", "[runners]\nname = \"sysbox\"\n", "runners is not a list"},
		{"another name", others, `there is no runner "sysbox"; there are "docker"`},
		{"two of the name", custom + custom, `2 runners have the name "sysbox"`},
		{"another executor", "[[runners]]\nname = \"sysbox\"\nexecutor = \"docker\"\n", `its executor is "docker"`},
		{"no executor", "[[runners]]\nname = \"sysbox\"\n", "no key executor"},
		{"another program", custom + "[runners.custom]\nrun_exec = \"/opt/other\"\nrun_args = [\"x\"]\n", "other values already, in run_exec, run_args"},
		{"a list of sections", custom + "[[runners.custom]]\nrun_exec = \"\"\n", "custom is not a table"},
		{"a section in one line", custom + "custom = {run_exec = \"\"}\n", "write it as [runners.custom] first"},
		{"a section of dotted keys", custom + "custom.run_exec = \"\"\n", "write it as [runners.custom] first"},
		{"an empty list of several lines", custom + "[runners.custom]\nrun_args = [\n# x\n]\n", "write [] first"},
		{"runners in one line", "runners = [{name = \"sysbox\", executor = \"custom\"}]\n", "not written as [[runners]]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Add([]byte(tc.text), "sysbox", Section(program))
			if err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q\n%s", err, tc.want, got)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v contains a secret", err)
			}
		})
	}
}

// Whatever the file is, Add changes nothing but the runner's section, or refuses.
func FuzzAdd(f *testing.F) {
	f.Add(others + "[[runners]]\n name = \"sysbox\"\n executor = \"custom\"\n" + end)
	f.Add("[[runners]]\nname=\"sysbox\"\nexecutor=\"custom\"\n[runners.custom]\nrun_exec=\"\"\nrun_args = [\n # x\n]\n")
	f.Add("\ufeff[[ runners ]]\r\n\"name\" = \"sysbox\"\r\nexecutor = 'custom'")
	f.Add("[[runners]]\nname=\"sysbox\"\nexecutor=\"custom\"\n[runners.custom.x]\ny=1\n")
	f.Fuzz(func(t *testing.T, text string) {
		section := Section(program)
		got, err := Add([]byte(text), "sysbox", section)
		if err != nil {
			return
		}
		if again, err := Add(got, "sysbox", section); err != nil || string(again) != string(got) {
			t.Errorf("a second time: %v\n%s", err, again)
		}
		for line := range strings.Lines(text) { // what was there is there, but for empty values
			if line = strings.TrimSpace(line); !strings.Contains(string(got), line) && !strings.Contains(line, `""`) && !strings.Contains(line, "[]") && !strings.Contains(line, "''") {
				t.Errorf("%q is gone in\n%s", line, got)
			}
		}
	})
}

func TestSectionWithArguments(t *testing.T) {
	got := Section(program, "--config", `/etc/my "own".toml`)
	if want := `prepare_args = ["--config", "/etc/my \"own\".toml", "prepare"]`; got[3].line() != want {
		t.Errorf("%s, want %s", got[3].line(), want)
	}
}

// The shell sees the words of the command as they are meant.
func TestRegisterCommand(t *testing.T) {
	text, err := RegisterCommand(Section(program, "--config", "/etc/it's mine.toml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gitlab-runner"), []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", text)
	c.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	for _, want := range []string{"<--custom-config-exec><" + program + ">", "<--custom-config-args=--config><--custom-config-args></etc/it's mine.toml><--custom-config-args><config>", "<--custom-graceful-kill-timeout><60>", "<--executor><custom>"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
}
