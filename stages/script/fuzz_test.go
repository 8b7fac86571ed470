package script

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzAdapt: nothing panics; what is not recognised stays as it is; what is
// recognised says the same but for the edits. Each text is taken as a script,
// and as what a script evaluates.
func FuzzAdapt(f *testing.F) {
	for _, text := range samples(f) {
		f.Add(text, "overlay", false)
		f.Add(text, "it's\n$HOME", true)
		_, body, err := open(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "vfs", false)
	}
	f.Fuzz(func(t *testing.T, text []byte, value string, posix bool) {
		a := Adaptation{Set: []Variable{{"STORAGE_DRIVER", value}}, Unset: []string{"STORAGE_OPTS"}, POSIX: posix}
		checkAdapt(t, text, a)
		for _, q := range []quoting{ansiC, double} {
			script := append([]byte(frames[0].before), q.opening()...)
			for _, c := range text {
				script = q.escape(script, c)
			}
			script = append(script, q.opening()[len(q.opening())-1])
			script = append(script, frames[0].after+trailer...)
			if _, body, err := open(script); !bytes.Equal(body, text) && !bytes.Contains(text, []byte{0}) {
				t.Fatalf("the encoded body decodes as %q (%v)", body, err)
			}
			checkAdapt(t, script, a)
		}
	})
}

func checkAdapt(t *testing.T, text []byte, a Adaptation) {
	t.Helper()
	given := slices.Clone(text)
	out, _, err := Adapt(text, a)
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
	env, body, err := open(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(env.close(body, nil, false), text) {
		t.Fatal("closing it again changes it")
	}
	if a.POSIX {
		return
	}
	var edits []edit
	if block, ok := findExports(body); ok {
		edits = []edit{{span{block.end, block.end}, a.lines()}}
	}
	_, again, err := open(out)
	if err != nil || !bytes.Equal(again, apply(body, edits)) {
		t.Fatalf("the adapted script says %q (%v)", again, err)
	}
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
			out, _, err := Adapt(w.script(), a)
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

// FuzzDecodeANSI compares the decoding of $'...' with bash's.
func FuzzDecodeANSI(f *testing.F) {
	for _, s := range []string{"", "a b", `\a\b\e\E\f\n\r\t\v\\\'\"\?`, `\x1b1\xA\xff`, `\0333\7\501\777`, `a\x00b`, `a\0`, `\x`, `\u00e9`, `\'`, "\x01\x7f\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := decodeANSI([]byte(s))
		// Within its quotes, s ends neither them nor the line too early.
		word := "$'" + s + "'"
		if !ok || strings.ContainsRune(s, 0) || skipPiece([]byte(word), 0, 0) != len(word) {
			t.Skip("nothing the Runner writes")
		}
		if _, err := exec.LookPath("bash"); err != nil {
			t.Skip("no bash here to compare with")
		}
		cmd := exec.Command("bash")
		cmd.Env = []string{"LC_ALL=C"}
		cmd.Stdin = strings.NewReader("printf '%s' " + word + "\n")
		want, err := cmd.Output()
		if err != nil || got != string(want) {
			t.Fatalf("%s: got %q, bash has %q (%v)", word, got, want, err)
		}
	})
}
