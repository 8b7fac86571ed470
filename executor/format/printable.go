package format

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable replaces the characters that a terminal interprets or does not show by Go escapes, such as \x1b,
// except for those in keep.
func Printable(text, keep string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[0]), 16))
		case unicode.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}

// Line makes a foreign text Printable, on one line, and cuts it to most bytes.
func Line(text string, most int) string {
	short := Cut(text, most)
	if len(short) == len(text) {
		return Printable(text, "")
	}
	return fmt.Sprintf("%s... (%d bytes more)", Printable(short, ""), len(text)-len(short))
}

// Cut returns the beginning of a text: at most so many bytes, and whole characters.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// printableWriter makes what is written to it Printable.
type printableWriter struct {
	to   io.Writer
	part []byte // the beginning of a character
}

// PrintableWriter returns a writer that makes lines of text Printable and writes them to another one. It is
// not safe for concurrent use.
func PrintableWriter(to io.Writer) io.Writer { return &printableWriter{to: to} }

func (w *printableWriter) Write(text []byte) (int, error) {
	all := append(w.part, text...)
	whole := len(all)
	for n := 1; n < utf8.UTFMax && n <= len(all); n++ {
		if start := len(all) - n; utf8.RuneStart(all[start]) {
			if !utf8.FullRune(all[start:]) {
				whole = start
			}
			break
		}
	}
	w.part = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(w.to, Printable(string(all[:whole]), "\n\t")); err != nil {
		return 0, err
	}
	return len(text), nil
}
