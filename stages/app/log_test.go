package app

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/servicelog"
)

// A message may repeat names and errors of other users. What is the job's own output stays as it is.
func TestHostileTextInLogs(t *testing.T) {
	const text = "volume \x1b]0;title\a\r\u202e\nit\tis"
	var b strings.Builder
	log := NewLog(&b, "info")
	log.Info(text)
	log.WithField(servicelog.Verbatim, true).Info(text)
	if want := `volume \x1b]0;title\a\r\u202e` + "\nit\tis\n" + text + "\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
