package fault

import (
	"strings"
	"testing"
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
