package doctor

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/format"
)

// terminal is where a report is printed.
type terminal struct {
	colours bool
	width   int // in characters; 0 if it is not known, then lines are not broken
}

// terminalOf describes a writer. NO_COLOR (https://no-color.org) turns colours off.
func terminalOf(w io.Writer) (t terminal) {
	f, ok := w.(*os.File)
	if !ok {
		return t
	}
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return t
	}
	t.colours = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(fd); err == nil {
		t.width = width
	}
	return t
}

var colours = map[doctor.Severity]string{doctor.OK: "\x1b[32m", doctor.Note: "\x1b[36m", doctor.Warning: "\x1b[33m", doctor.Error: "\x1b[31;1m"}

// The widths of the first two columns.
const (
	severityWidth = 8  // "warning" and a space
	checkWidth    = 15 // "configuration" and two spaces
	least         = 40 // narrower text is not broken
)

// longest is the longest text of a finding, in bytes.
const longest = 1000

// print writes the report: a line for each finding, and below it what to do.
func (r report) print(out io.Writer, t terminal) error {
	var b strings.Builder
	for _, f := range r.Fixes {
		what := "repaired"
		if !f.Done {
			what = "not repaired"
		}
		fmt.Fprintf(&b, "%s: %s\n", what, clean(f.Text))
	}
	counts := map[doctor.Severity]int{}
	for _, f := range r.Findings {
		counts[f.Severity]++
		severity := fmt.Sprintf("%-*s", severityWidth, f.Severity)
		if t.colours {
			severity = colours[f.Severity] + severity + "\x1b[0m"
		}
		b.WriteString(severity)
		fmt.Fprintf(&b, "%-*s", checkWidth, clean(f.Check))
		t.column(&b, severityWidth+checkWidth, clean(f.Text))
		if f.Next != "" {
			b.WriteString(strings.Repeat(" ", severityWidth+checkWidth))
			t.column(&b, severityWidth+checkWidth, "-> "+clean(f.Next))
		}
	}
	what := "This machine can run jobs"
	switch {
	case r.Image != "":
		what = "Jobs can run in " + clean(r.Image)
	case r.inCluster:
		what = "This cluster can run jobs"
	}
	switch r.Severity {
	case doctor.Error:
		what = strings.Replace(what, " can ", " cannot ", 1)
	case doctor.Warning:
		what += ", but not as well as possible"
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s.\n", what, number(counts[doctor.Error], "error"), number(counts[doctor.Warning], "warning"), number(counts[doctor.Note], "note"))
	_, err := io.WriteString(out, b.String())
	return err
}

// number is a number of things, such as "2 notes".
func number(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// clean makes a foreign text safe for a terminal, on one line.
func clean(text string) string {
	return format.Line(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "), longest)
}

// column writes a text that begins at a column, and breaks it at spaces.
func (t terminal) column(b *strings.Builder, at int, text string) {
	width := t.width - at
	if width < least {
		b.WriteString(text + "\n")
		return
	}
	used := 0
	for n, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case used+1+length > width:
			b.WriteString("\n" + strings.Repeat(" ", at))
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += length
	}
	b.WriteByte('\n')
}
