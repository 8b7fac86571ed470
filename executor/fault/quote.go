package fault

import (
	"strconv"
	"strings"
	"unicode"

	"gitlab-sysbox-executor/executor/format"
)

// quoted is the largest part of a text that a message shows, in bytes.
const quoted = 80

// Quote returns a job's text for a message: quoted, on one line, and cut to quoted bytes.
func Quote(text string) string {
	short := format.Cut(text, quoted)
	if len(short) == len(text) {
		return strconv.Quote(text)
	}
	return strconv.Quote(short) + "... (" + strconv.Itoa(len(text)) + " bytes)"
}

// brief is the largest part of another program's message that ours contains, in bytes.
const brief = 400

// Brief returns another program's message on one line, cut to brief bytes. Such a message may
// repeat text of the job.
func Brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if short := format.Cut(text, brief); len(short) < len(text) {
		return short + "..."
	}
	return text
}
