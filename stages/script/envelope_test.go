package script

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// samples are all scripts under testdata, by file name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	const pattern = "../../integration/runner/testdata/generated-scripts/*.sh"
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

func TestSamplesRoundTrip(t *testing.T) {
	for name, text := range samples(t) {
		t.Run(name, func(t *testing.T) {
			env, body, err := open(text)
			if err != nil {
				t.Fatal(err)
			}
			if out := env.close(body, nil, false); !bytes.Equal(out, text) {
				t.Error("closing it again changes it")
			}
			if out, _, _ := open(env.close(body, nil, true)); env.quoting == double && !bytes.Equal(out.word, env.word) {
				t.Error("a POSIX shell can read it, and yet it is changed")
			}
			// What the Runner's own escaping makes of the body, but for
			// ShellEscapeLegacy, which has other escapes for control bytes.
			word := []byte(env.quoting.opening())
			for _, c := range body {
				word = env.quoting.escape(word, c)
			}
			word = append(word, env.word[len(env.word)-1])
			again, _, ok := env.quoting.decode(word)
			if !ok || !bytes.Equal(again, body) {
				t.Error("decoding the encoded body changes it")
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	const good = "(trap 'exit 1' TERM; eval $'a\\n') < /dev/null\nexit 0\n"
	if _, body, err := open([]byte(good)); err != nil || string(body) != "a\n" {
		t.Fatalf("got %q, %v", body, err)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"another script":   "#!/bin/sh\necho hello\n",
		"PowerShell":       "& {\n$x = 1\n}\n",
		"cut off":          good[:30],
		"no exit":          strings.TrimSuffix(good, "exit 0\n"),
		"more after it":    good + "echo more\n",
		"other redirect":   strings.Replace(good, "/dev/null", "/dev/zero", 1),
		"other frame":      strings.Replace(good, "TERM", "TERM INT", 1),
		"frame of another": strings.Replace(good, "(trap 'exit 1' TERM; ", ": | ", 1),
		"not quoted":       strings.Replace(good, "$'a\\n'", "a", 1),
		"joined words":     strings.Replace(good, "$'a\\n'", "$'a\\n'$'b'", 1),
		"locale":           strings.Replace(good, "a", `\u00e9`, 1),
		"NUL":              strings.Replace(good, "a", "\x00", 1),
		"NUL before it":    "\x00\n" + good,
		"within a line":    "echo " + good,
	} {
		t.Run(name, func(t *testing.T) {
			for _, posix := range []bool{false, true} {
				a := Adaptation{Set: []Variable{{"A", "b"}}, POSIX: posix}
				out, conflicts, err := Adapt([]byte(text), a)
				if !errors.Is(err, ErrUnrecognised) || string(out) != text || conflicts != nil {
					t.Errorf("got %q, %v, %v", out, conflicts, err)
				}
			}
		})
	}
}
