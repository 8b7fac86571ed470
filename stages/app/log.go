package app

import (
	"bytes"
	"io"
	"time"

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

// raw marks an entry that contains control characters of ours.
const raw = "raw"

// clear removes the marker of a section from a terminal.
const clear = "\x1b[0K"

// Section begins a collapsible section in a job's log, with a header
// (https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections). The name is unique in the job.
func Section(log logrus.FieldLogger, name, header string) (end func()) {
	mark := func(what, then string) {
		log.WithField(raw, true).Infof("%ssection_%s:%d:%s\r%s%s", clear, what, time.Now().Unix(), name, clear, then)
	}
	mark("start", boldCyan+header+Reset)
	return func() { mark("end", "") }
}

// The Runner's own colours (helpers/fatal_panic.go, helpers/ansi_colors.go): yellow for a warning,
// bold red for an error, bold cyan for the header of a section.
const (
	yellow   = "\x1b[0;33m"
	boldRed  = "\x1b[31;1m"
	boldCyan = "\x1b[36;1m"
	Reset    = "\x1b[0;m"
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
	if e.Data[servicelog.Verbatim] != true && e.Data[raw] != true { // it may have names and errors of other users
		text = format.Printable(text, "\n\t")
	}
	b.WriteString(colour + prefix + text)
	if colour != "" {
		b.WriteString(Reset)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
