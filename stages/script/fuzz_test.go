package script

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// FuzzAdapt: nothing panics; what is not recognised stays as it is; what is
// recognised says the same but for the enforced lines. Each text is taken as a
// script, and as what a script evaluates.
func FuzzAdapt(f *testing.F) {
	for _, text := range samples(f) {
		f.Add(text, "overlay", false)
		f.Add(text, "it's\n$HOME", true)
		f.Add([]byte(commands(f, text)), "vfs", false)
	}
	f.Fuzz(func(t *testing.T, text []byte, value string, posix bool) {
		defer heap.Bounded(t)()
		a := Adaptation{Set: []Variable{{"STORAGE_DRIVER", value}}, POSIX: posix}
		checkAdapt(t, text, a)
		for _, w := range []writer{{}, {posix: true}} {
			script := w.frameOf(string(text))
			if bytes.Contains(text, []byte{0}) || strings.IndexAny(w.quote(string(text)), `$"`) != 0 {
				continue
			}
			if got := commands(t, script); got != string(text) {
				t.Fatalf("the quoted commands are read as %q", got)
			}
			checkAdapt(t, script, a)
		}
	})
}

func checkAdapt(t *testing.T, text []byte, a Adaptation) {
	t.Helper()
	given := slices.Clone(text)
	out, err := Adapt(text, a)
	if !bytes.Equal(text, given) {
		t.Fatal("it wrote to its input")
	}
	if err != nil {
		if !bytes.Equal(out, text) {
			t.Fatalf("error %v, and yet it is changed", err)
		}
		if !errors.Is(err, ErrUnrecognised) && !strings.ContainsRune(a.Set[0].Value, 0) {
			t.Fatalf("error %v for a good adaptation", err)
		}
		return
	}
	if a.POSIX {
		return
	}
	before, after := commands(t, text), commands(t, out)
	p, err := findPrelude(before)
	if err != nil {
		t.Fatal(err)
	}
	if p.end > 0 {
		before = before[:p.end] + a.lines() + before[p.end:]
	}
	if after != before {
		t.Fatalf("the adapted commands are %q", after)
	}
}

// FuzzPrelude: neither a value nor what the job's author wrote decides where the
// Runner's exports end.
func FuzzPrelude(f *testing.F) {
	for _, v := range hostile() {
		for _, later := range []string{"", "if (", "\"", "'", "$(", "))) }", "cat << EOF\n", v.Value} {
			f.Add(v.Value, v.Value, later, true, false, false)
			f.Add(v.Value, "a", later, false, true, false)
			f.Add("a", v.Value, later, true, false, true)
		}
	}
	f.Fuzz(func(t *testing.T, value, file, later string, escapes, source, noEnv bool) {
		defer heap.Bounded(t)()
		w := writer{posix: escapes, source: source, noEnv: noEnv, dir: "/p"}
		w.vars, w.files = []Variable{{"A", value}, {"B", "b"}}, []Variable{{"F", file}}
		if escapes && (w.quote(value)[0] != '"' || w.quote(file)[0] != '"') {
			t.Skip("the Runner does not quote it, though it may have to")
		}
		if noEnv && readsEnv().MatchString("\n"+later) {
			t.Skip("an author who copies the commands of a later Runner")
		}
		body := w.body()
		want := strings.LastIndex(body, "\ncd /p\n")
		if got, err := findPrelude(body + later); err != nil || got.end != want {
			t.Fatalf("ends at %d, want %d: %q (%v)", got.end, want, body+later, err)
		}
	})
}

// FuzzRunValue: bash and dash find a variable of any value as it is, and the
// enforced one as it has to be.
func FuzzRunValue(f *testing.F) {
	for _, v := range hostile() {
		if v.Name == "LONG" {
			continue // slow, and TestRunHostileValues has it
		}
		f.Add(v.Value, false)
		f.Add(v.Value, true)
	}
	f.Fuzz(func(t *testing.T, value string, escapes bool) {
		if strings.ContainsRune(value, 0) || len(value) > 100_000 {
			t.Skip("no environment can hold it")
		}
		w := writer{posix: escapes, dir: t.TempDir(), commands: []string{"env -0 > env.out"}}
		w.vars = []Variable{{"VALUE", value}, {"STORAGE_DRIVER", value}}
		if escapes && !strings.HasPrefix(w.quote(value), `"`) {
			t.Skip("the Runner does not quote it, though it may have to")
		}
		for _, target := range targets(t) {
			a := Adaptation{Set: []Variable{{"STORAGE_DRIVER", "vfs"}, {"TOO", value}}, POSIX: target.posix}
			out, err := Adapt(w.script(), a)
			if err != nil {
				t.Fatal(err)
			}
			if printed, err := run(t, target.shell, w.dir, out); err != nil {
				t.Fatalf("%s: %v\n%s", target.shell, err, printed)
			}
			env := environment(t, filepath.Join(w.dir, "env.out"))
			if env["VALUE"] != value || env["TOO"] != value || env["STORAGE_DRIVER"] != "vfs" {
				t.Fatalf("%s has %q", target.shell, env)
			}
		}
	})
}
