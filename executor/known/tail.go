package known

import (
	"io"
	"strings"
)

// tailSize is the examined part at the end of a script's output, in bytes.
const tailSize = 64 << 10

// Tail passes output on and stores its end. It is not safe for concurrent use.
type Tail struct {
	to   io.Writer
	kept []byte
}

// NewTail returns a Tail that writes to the given writer.
func NewTail(to io.Writer) *Tail { return &Tail{to: to} }

func (t *Tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-tailSize):]...)
	if len(t.kept) > 2*tailSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailSize:]...)
	}
	return t.to.Write(p)
}

// echo starts the lines in which the Runner shows the script's own commands.
const echo = "\x1b[32;1m"

// Explain returns the first failure in the table that matches a line at the end of the output.
func (t *Tail) Explain() (Failure, bool) {
	text := string(t.kept[max(0, len(t.kept)-tailSize):])
	for _, f := range failures() {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, echo) && f.pattern.MatchString(line) {
				return f, true
			}
		}
	}
	return Failure{}, false
}
