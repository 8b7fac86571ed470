package fault

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quoted is how much of a text a message shows, in bytes.
const quoted = 80

// Quote is a job's text as a message may show it: in quotes, on one line, and
// cut where it is long.
func Quote(text string) string {
	if len(text) <= quoted {
		return strconv.Quote(text)
	}
	cut := quoted
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "... (" + strconv.Itoa(len(text)) + " bytes)"
}

// told is how much of somebody else's message ours holds, in bytes.
const told = 400

// Brief is another program's message on one line, cut where it is long: it may
// repeat what a job gave it.
func Brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= told {
		return text
	}
	cut := told
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
