package script

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var enforced = Adaptation{
	Set: []Variable{{"STORAGE_DRIVER", "vfs"}, {"STORAGE_OPTS", ""}, {"TMPDIR", "/it's $HOME\n`/"}},
}

// samples are scripts of a real Runner, by file name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	const pattern = "../../integration/harness/runner/testdata/generated-scripts/*.sh"
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no samples in %s (%v)", pattern, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = text
	}
	return all
}

// commands gives what eval gets in a script.
func commands(t testing.TB, text []byte) string {
	t.Helper()
	word, err := evalWord(text)
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := decode(word, text)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// exportsNothing recognises the stages in which the Runner exports no variables.
func exportsNothing(name string) bool {
	return name == "prepare_script.sh" || name == "clear_worktree.sh"
}

// TestAdaptSamples: the commands of a real Runner's script are what they were but
// for the enforced lines, which come after the file of GITLAB_ENV; what is around
// them keeps its bytes.
func TestAdaptSamples(t *testing.T) {
	if n := len(samples(t)); n != 15 {
		t.Errorf("%d samples", n)
	}
	for name, text := range samples(t) {
		t.Run(name, func(t *testing.T) {
			out, err := Adapt(text, Adaptation{})
			if err != nil || &out[0] != &text[0] {
				t.Errorf("nothing asked, and yet it is changed (%v)", err)
			}
			if out, err = Adapt(text, enforced); err != nil {
				t.Fatal(err)
			}
			before, after := commands(t, text), commands(t, out)
			want := before
			const read = `/builds/group/project.tmp/gitlab_runner_env"`
			if at := strings.LastIndex(before, "done < \""+read) + len("done < \""+read); !exportsNothing(name) {
				want = before[:at] + enforced.lines() + before[at:]
			}
			if after != want {
				t.Errorf("the commands are %q, want %q", after, want)
			}
			head, _, _ := bytes.Cut(text, []byte("eval "))
			if !bytes.HasPrefix(out, append(head, "eval '"...)) || !bytes.HasSuffix(out, []byte("') < /dev/null\nexit 0\n")) {
				t.Errorf("what is around them is changed: %q", out)
			}
		})
	}
}

func TestAdaptRefuses(t *testing.T) {
	const good = "(trap 'exit 1' TERM; eval $'a\\n') < /dev/null\nexit 0\n"
	if got := commands(t, []byte(good)); got != "a\n" {
		t.Fatalf("got %q", got)
	}
	for name, text := range map[string]string{
		"empty":                       "",
		"another script":              "#!/bin/sh\necho hello\n",
		"PowerShell":                  "& {\n$x = 1\n}\n",
		"cut off":                     good[:30],
		"no command":                  strings.Replace(good, "$'a\\n'", "", 1),
		"two commands":                good + good,
		"not quoted":                  strings.Replace(good, "$'a\\n'", "a", 1),
		"half quoted":                 strings.Replace(good, "$'a\\n'", "$'a\\n'b", 1),
		"several words":               strings.Replace(good, "$'a\\n'", "$'a\\n' $'b'", 1),
		"expansion":                   strings.Replace(good, "$'a\\n'", `"$x"`, 1),
		"substitution":                strings.Replace(good, "$'a\\n'", "\"`x`\"", 1),
		"translation":                 strings.Replace(good, "$'a\\n'", `$"a"`, 1),
		"NUL":                         strings.Replace(good, "$'a\\n'", "\"a\x00\"", 1),
		"NUL as an escape":            strings.Replace(good, "'a", `'a\x00`, 1),
		"commands that are no syntax": strings.Replace(good, "'a", "'export (", 1),
		"nested too deep":             strings.Repeat("((", 500_000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, posix := range []bool{false, true} {
				a := Adaptation{Set: []Variable{{"A", "b"}}, POSIX: posix}
				out, err := Adapt([]byte(text), a)
				if !errors.Is(err, ErrUnrecognised) || string(out) != text {
					t.Errorf("got %.80q, %v", out, err)
				}
			}
		})
	}
}

func TestAdaptRefusesItsCallersMistakes(t *testing.T) {
	text := writer{dir: "/p"}.script()
	for name, a := range map[string]Adaptation{
		"empty name":      {Set: []Variable{{"", "x"}}},
		"name of a shell": {Set: []Variable{{"A=b; rm", "x"}}},
		"digit first":     {Set: []Variable{{"1A", "x"}}},
		"newline":         {Set: []Variable{{"A\n", "x"}}},
		"NUL":             {Set: []Variable{{"A", "a\x00b"}}},
	} {
		if out, err := Adapt(text, a); err == nil || &out[0] != &text[0] {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// target is a shell that runs an adapted script.
type target struct {
	shell string
	posix bool
}

// targets are the shells of this machine; bash has to read POSIX text too.
func targets(t testing.TB) []target {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here to compare with")
	}
	all := []target{{"bash", false}, {"bash", true}}
	if _, err := exec.LookPath("dash"); err == nil {
		all = append(all, target{"dash", true})
	}
	return all
}

// run runs a script as the Runner's stage, and gives what it printed.
func run(t testing.TB, shell, dir string, text []byte) (string, error) {
	t.Helper()
	file := filepath.Join(dir, "script.sh")
	if err := os.WriteFile(file, text, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, file)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "STORAGE_DRIVER=container"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// environment reads what env -0 wrote, but for what a shell keeps there itself.
func environment(t testing.TB, file string) map[string]string {
	t.Helper()
	dump, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(dump), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	for _, name := range []string{"_", "SHLVL", "PWD", "OLDPWD"} {
		delete(env, name)
	}
	return env
}

// enforce gives the environment that a has to make of one.
func enforce(a Adaptation, env map[string]string) map[string]string {
	env = maps.Clone(env)
	for _, v := range a.Set {
		env[v.Name] = v.Value
	}
	return env
}

func compare(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if g, ok := got[name]; !ok || g != want[name] {
			t.Errorf("%s is %.200q (%v), want %.200q", name, g, ok, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there: %.200q", name, got[name])
		}
	}
}

// hostile are values that are made to be taken for something else.
func hostile() []Variable {
	every := make([]byte, 0, 255)
	for c := 1; c < 256; c++ {
		every = append(every, byte(c))
	}
	marker := "mkdir -p \"/p.tmp\"\ntouch \"/p.tmp/gitlab_runner_env\"\n" +
		"while read -r line; do export \"$line\"; done < \"/p.tmp/gitlab_runner_env\"\n"
	return []Variable{
		{"EMPTY", ""},
		{"SPACES", "  a  b\t\n"},
		{"LINES", "\nexport STORAGE_DRIVER=overlay\ncd /\nexport A='"},
		{"MARKER", marker},
		{"MARKER_TOO", "'\n" + marker + "'"},
		{"END", "a\n') < /dev/null\nexit 0\n"},
		{"END_TOO", "a\n\") < /dev/null\nexit 0\n"},
		{"ANNOUNCE", "\necho $'\\x1b[32;1m$ x\\x1b[0;m'\nx\n"},
		{"QUOTES", `' " $' " ''' "" \' \" $"x"`},
		{"EXPANSIONS", "$(touch pwned) `touch pwned` $HOME ${HOME} $((1+1)) ~ {a,b} * ?"},
		{"BACKSLASHES", `\ \\ \\\ \n \x41 \u00e9 \`},
		{"COMMENT", "a # b\n# c"},
		{"HERE", "cat << EOF > /x\nEOF\n"},
		{"UNICODE", "caf\u00e9 \U0001f600 \u2028"},
		{"BINARY", string(every)},
		{"LONG", strings.Repeat("it's \"long\"\n\\", 100_000/13)},
		{"STORAGE_DRIVER", "overlay"},
		{"STORAGE_OPTS", "a=b"},
		{"TMPDIR", ""},
	}
}

// TestRunHostileValues compares the environment of the job's own lines before
// and after.
func TestRunHostileValues(t *testing.T) {
	for _, target := range targets(t) {
		for _, w := range []writer{
			{}, {frame: 1}, {frame: 2}, {source: true}, {noEnv: true}, {sections: true},
			{posix: true}, {posix: true, frame: 2, source: true}, {posix: true, noEnv: true},
		} {
			name := fmt.Sprintf("%s/posix=%v/escapes=%v,frame=%d,source=%v,noEnv=%v,sections=%v", target.shell, target.posix, w.posix, w.frame, w.source, w.noEnv, w.sections)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.dir = t.TempDir()
				w.vars = hostile()
				w.files = []Variable{{"FILE", "a\nexport STORAGE_DRIVER=btrfs\n' > \"x\" $HOME"}}
				w.commands = []string{"env -0 > env.out", "export STORAGE_DRIVER=explicit\nenv -0 > explicit.out"}

				text := w.script()
				if out, err := run(t, "bash", w.dir, text); err != nil {
					t.Fatalf("original: %v\n%s", err, out)
				}
				before := environment(t, filepath.Join(w.dir, "env.out"))
				for _, v := range w.vars {
					if before[v.Name] != v.Value {
						t.Fatalf("the writer got %s wrong: %q", v.Name, before[v.Name])
					}
				}
				// A step before this one may have left something there.
				state := "STORAGE_DRIVER=btrfs\nSTORAGE_OPTS=c\nOTHER=kept\n"
				if err := os.WriteFile(filepath.Join(w.dir, "p.tmp/gitlab_runner_env"), []byte(state), 0o600); err != nil {
					t.Fatal(err)
				}
				if !w.noEnv {
					before["OTHER"] = "kept"
				}

				a := enforced
				a.POSIX = target.posix
				adapted, err := Adapt(text, a)
				if err != nil {
					t.Fatal(err)
				}
				if out, err := run(t, target.shell, w.dir, adapted); err != nil {
					t.Fatalf("adapted: %v\n%s", err, out)
				}
				want := enforce(a, before)
				compare(t, environment(t, filepath.Join(w.dir, "env.out")), want)
				want["STORAGE_DRIVER"] = "explicit"
				compare(t, environment(t, filepath.Join(w.dir, "explicit.out")), want)
				content, err := os.ReadFile(filepath.Join(w.dir, "p.tmp/FILE"))
				if err != nil || string(content) != w.files[0].Value {
					t.Errorf("the file is %q (%v)", content, err)
				}
				if _, err := os.Stat(filepath.Join(w.dir, "pwned")); err == nil {
					t.Error("a value was run")
				}
			})
		}
	}
}

// TestRunUnquotedValues: PosixShellEscape does not quote for a semicolon, a
// newline or a single quote alone, and a shell makes commands of them. They
// have to fare as before, and the rest to be enforced all the same.
func TestRunUnquotedValues(t *testing.T) {
	for _, target := range targets(t) {
		for _, vars := range [][]Variable{
			{{"A", "a;true"}},
			{{"A", "a\ntrue"}},
			{{"A", "a;true;"}, {"B", "\ntrue\n\ttrue"}},
			{{"A", "it's"}, {"B", "b"}, {"C", "don't"}},
			{{"A", "a;{\ntrue;}"}},
		} {
			t.Run(fmt.Sprintf("%s/posix=%v/%q", target.shell, target.posix, vars), func(t *testing.T) {
				t.Parallel()
				w := writer{posix: true, dir: t.TempDir(), commands: []string{"env -0 > env.out"}}
				w.vars = append(vars, Variable{"STORAGE_DRIVER", "overlay"})
				text := w.script()
				if out, err := run(t, target.shell, w.dir, text); err != nil {
					t.Fatalf("original: %v\n%s", err, out)
				}
				before := environment(t, filepath.Join(w.dir, "env.out"))
				adapted, err := Adapt(text, Adaptation{Set: enforced.Set, POSIX: target.posix})
				if err != nil {
					t.Fatal(err)
				}
				if out, err := run(t, target.shell, w.dir, adapted); err != nil {
					t.Fatalf("adapted: %v\n%s", err, out)
				}
				compare(t, environment(t, filepath.Join(w.dir, "env.out")), enforce(Adaptation{Set: enforced.Set}, before))
			})
		}
	}
}

// TestRunPosix: what fails in dash as it is, runs in it adapted, and fails with
// the job's own exit code.
func TestRunPosix(t *testing.T) {
	if _, err := exec.LookPath("dash"); err != nil {
		t.Skip("no dash here")
	}
	w := writer{dir: t.TempDir(), vars: []Variable{{"A", "it's\n"}}, commands: []string{"printf '[%s]' \"$A\"", "exit 42"}}
	text := w.script()
	if out, err := run(t, "dash", w.dir, text); err == nil {
		t.Fatalf("the original runs in dash: %s", out)
	}
	adapted, err := Adapt(text, Adaptation{POSIX: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "dash", w.dir, adapted)
	want := announce + "printf '[%s]' \"$A\"" + reset + "\n[it's\n]" + announce + "exit 42" + reset + "\n"
	if fmt.Sprint(err) != "exit status 42" || out != want {
		t.Errorf("%v, printed %q", err, out)
	}
}

func BenchmarkAdapt(b *testing.B) {
	w := writer{dir: "/builds/group/project", vars: append(hostile(), Variable{"TOO", strings.Repeat("a b\n", 20_000)})}
	text := w.script()
	for _, posix := range []bool{false, true} {
		b.Run(fmt.Sprintf("posix=%v", posix), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				a := enforced
				a.POSIX = posix
				if _, err := Adapt(text, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
