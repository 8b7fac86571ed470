package fault

import (
	"strings"
	"testing"
	"unicode"
)

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":                            `""`,
		"a\n\"b\"\x1b":                `"a\n\"b\"\x1b"`,
		strings.Repeat("x", 80):       `"` + strings.Repeat("x", 80) + `"`,
		strings.Repeat("x", 99999):    `"` + strings.Repeat("x", 80) + `"... (99999 bytes)`,
		strings.Repeat("x", 79) + "ü": `"` + strings.Repeat("x", 79) + `"... (81 bytes)`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	for text, want := range map[string]string{
		"no such file\n\tin $PATH": "no such file  in $PATH",
		strings.Repeat("x", 99999): strings.Repeat("x", 400) + "...",
	} {
		if got := Brief(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A message is one short line, whatever text it repeats.
func FuzzBrief(f *testing.F) {
	for _, text := range []string{"", "a\nb\x1b[0m", strings.Repeat("é", 300), "\xff\x80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{Quote(text), Brief(text)} {
			if len(got) > 2000 || strings.ContainsFunc(got, unicode.IsControl) {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
}
