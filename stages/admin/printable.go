package admin

import (
	"fmt"
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
