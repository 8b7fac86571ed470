package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"gitlab-sysbox-executor/executor/format"
)

// longestCell is the longest text in a table, in bytes.
const longestCell = 1000

// printable makes a foreign text, such as a label, a container's name or an error, safe for
// root's terminal: one line, without control or invisible characters, and cut to
// longestCell.
func printable(text string) string {
	rest := 0
	if len(text) > longestCell {
		cut := longestCell
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text, rest = text[:cut], len(text)-cut
	}
	text = format.Printable(text, "")
	if rest > 0 {
		text += fmt.Sprintf("... (%d bytes more)", rest)
	}
	return text
}

// printJSON prints v for programs; characters that a terminal interprets are escaped.
func printJSON(out io.Writer, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, r := range text.String() {
		// Such a character is in a string: JSON permits it nowhere else.
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	_, err := b.WriteTo(out)
	return err
}
