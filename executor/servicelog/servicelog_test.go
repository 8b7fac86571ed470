package servicelog

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/service"
)

// services is a Source with given services.
type services map[string]struct {
	State
	err   error
	lines []string // one per second
}

func (s services) Service(_ context.Context, id string) (State, error) {
	return s[id].State, s[id].err
}

func (s services) Tail(_ context.Context, id string, _ int) (string, error) {
	return strings.Join(s[id].lines, "\r\n"), s[id].err
}

func (s services) Lines(ctx context.Context, id string, since time.Time, follow bool, each func(time.Time, string)) error {
	for n, line := range s[id].lines {
		if at := time.Unix(int64(n+1), 0); at.After(since) {
			each(at, line)
		}
	}
	if follow {
		<-ctx.Done()
	}
	return s[id].err
}

func logger() (*logrus.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	log := logrus.New()
	log.SetOutput(&text)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableQuote: true})
	return log, &text
}

// Each service that has ended is reported once, even if there are several processes.
func TestEndedServicesAreReportedOnce(t *testing.T) {
	folder := t.TempDir()
	source := services{
		"runs":    {State: State{Running: true}},
		"removed": {State: State{Gone: true}},
		"unknown": {err: errors.New("no answer")},
		"done":    {State: State{}},
		"died":    {State: State{ExitCode: 3}, lines: []string{"one", "two"}},
	}
	all := []job.Running{{ID: "runs", Image: "runs"}, {ID: "removed", Image: "removed"}, {ID: "unknown", Image: "unknown"}, {ID: "done", Image: "done"}, {ID: "died", Image: "died"}}
	for n, want := range []map[string]int{
		{"Could not get the state of service unknown: no answer": 1, "Service done: ": 1, "one\ntwo": 1, "removed": 0, "runs:": 0},
		{"Could not get the state of service unknown: no answer": 1, "Service done: ": 0, "one\ntwo": 0},
	} {
		log, text := logger()
		ended := Open(folder, source, log).ReportEnded(t.Context(), all, service.Died)
		if len(ended) != 2 || !ended["done"] || !ended["died"] {
			t.Errorf("time %d: %v", n, ended)
		}
		for part, times := range want {
			if strings.Count(text.String(), part) != times {
				t.Errorf("time %d: %q is not %d times in %s", n, part, times, text)
			}
		}
	}
}

// A service that ended right after its start was never there for the job.
func TestServiceThatEndedEarly(t *testing.T) {
	for lived, want := range map[time.Duration]string{0: "while the job needed it", early - 1: "probably didn't start", early: "while the job needed it"} {
		log, text := logger()
		source := services{"x": {State: State{ExitCode: 3, Lived: lived}}}
		Open(t.TempDir(), source, log).ReportEnded(t.Context(), []job.Running{{ID: "x", Image: "x"}}, service.Died)
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s: no %q in %s", lived, want, text)
		}
	}
}

// A stage continues where the previous stage stopped.
func TestLinesAreShownOnce(t *testing.T) {
	folder := t.TempDir()
	source := services{"a": {lines: []string{"one"}}}
	all := []job.Running{{ID: "a", Label: "db"}}
	for n, lines := range [][]string{{"one"}, {"one", "two"}, {"one", "two"}} {
		a := source["a"]
		a.lines = lines
		source["a"] = a
		log, text := logger()
		Open(folder, source, log).Follow(t.Context(), all)()
		for _, line := range lines {
			if want := line == lines[len(lines)-1] && n < 2; strings.Contains(text.String(), " "+line) != want {
				t.Errorf("stage %d shows %q: %t\n%s", n, line, !want, text)
			}
		}
	}
}
