package app

import (
	"bytes"
	"io"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/servicelog"
)

// NewLog writes plain lines to a job's log, in the Runner's own colours. The Runner masks
// secrets in the output of a stage and adds the time.
func NewLog(to io.Writer, level string) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(to)
	l.SetFormatter(lines{})
	if parsed, err := logrus.ParseLevel(level); err == nil {
		l.SetLevel(parsed)
	}
	return l
}

type lines struct{}

// The Runner's own colours (helpers/fatal_panic.go, helpers/ansi.go): yellow for a warning,
// bold red for an error.
const (
	yellow  = "\x1b[0;33m"
	boldRed = "\x1b[31;1m"
	Reset   = "\x1b[0;m"
)

// Format returns the lines of an entry.
func (lines) Format(e *logrus.Entry) ([]byte, error) {
	prefix, colour := "", ""
	switch {
	case e.Data[servicelog.Verbatim] == true:
	case e.Level <= logrus.ErrorLevel:
		prefix, colour = "ERROR: ", boldRed
	case e.Level == logrus.WarnLevel:
		prefix, colour = "WARNING: ", yellow
	}
	var b bytes.Buffer
	text := e.Message
	if e.Data[servicelog.Verbatim] != true { // it may have names and errors of other users
		text = format.Printable(text, "\n\t")
	}
	b.WriteString(colour + prefix + text)
	if colour != "" {
		b.WriteString(Reset)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
