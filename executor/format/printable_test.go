package format

import (
	"strings"
	"testing"
	"unicode"
)

func TestHostileTextIsPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ö, 漢":      "plain, ö, 漢",
		"\x1b[2J\x07":      `\x1b[2J\a`,
		"a\nb\tc\r":        "a\nb\tc\\r",
		"\xff\xfe":         `\xff\xfe`,
		"\u202egnp.exe":    `\u202egnp.exe`,
		"\u009b31m\u200b":  `\u009b31m\u200b`,
		"\ufffd in itself": "\ufffd in itself",
	} {
		if got := Printable(text, "\n\t"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		var b strings.Builder
		w := PrintableWriter(&b)
		for n := range len(text) { // byte by byte
			if _, err := w.Write([]byte{text[n]}); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.String(); got != want {
			t.Errorf("%q, written: got %q, want %q", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"", 0, ""},
		{"plain", 5, "plain"},
		{"plain", 4, "plai... (1 bytes more)"},
		{"a\nb\x1b[0m", 10, `a\nb\x1b[0m`},
		{"a\nb\x1b[0m", 4, `a\nb\x1b... (3 bytes more)`},
		{"läuft", 3, "lä... (3 bytes more)"},
		{"läuft", 2, "l... (5 bytes more)"},
		{"漢漢", 5, "漢... (3 bytes more)"},
		{"\xff\xff", 1, `\xff... (1 bytes more)`},
		{"\x80\x80", 1, "... (2 bytes more)"},
	} {
		if got := Line(c.text, c.most); got != c.want {
			t.Errorf("%q, %d: got %q, want %q", c.text, c.most, got, c.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, text := range []string{"", "a\x1b[0m", "\xc3", "\u202e"} {
		f.Add(text, 1)
	}
	f.Fuzz(func(t *testing.T, text string, part int) {
		var b strings.Builder
		w := PrintableWriter(&b)
		for rest := text; rest != ""; {
			n := min(max(1, part), len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		whole := Printable(text, "\n\t")
		if !strings.HasPrefix(whole, b.String()) || strings.IndexFunc(whole, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) >= 0 {
			t.Errorf("%q became %q, and %q", text, whole, b.String())
		}
	})
}
