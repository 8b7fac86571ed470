// Package servicelog writes the output of a job's services to the job log, and reports services that have
// ended.
package servicelog

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/service"
)

// Verbatim marks a log entry whose message is written to the job log unchanged, without the prefix of its
// level.
const Verbatim = "verbatim"

// State is the state of a service's container.
type State struct {
	Running bool
	Gone    bool // it was removed
	// ExitCode and OutOfMemory are set if it has ended.
	ExitCode    int
	OutOfMemory bool
	Lived       time.Duration // 0 if unknown
}

// early is the time within which most services that cannot start have ended.
const early = time.Second

// Source gives access to the services.
type Source interface {
	// Service returns the state of a service's container.
	Service(ctx context.Context, id string) (State, error)
	// Tail returns the end of its log, at most this many lines.
	Tail(ctx context.Context, id string, lines int) (string, error)
	// Lines calls each for every line of its log that is newer than since, from one goroutine. It follows the
	// log until ctx or the service ends. If the service was removed, there are no more lines.
	Lines(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error
}

// Log writes the services' part of one job's log. Its methods are safe for concurrent use.
type Log struct {
	source Source
	log    logrus.FieldLogger
	shown  *shown
}

// Open opens the Log of the job with this folder. Each stage is a separate process, so the position in the
// services' logs is stored in the folder. Cleanup removes the folder.
func Open(folder string, source Source, log logrus.FieldLogger) *Log {
	return &Log{source, log, readShown(filepath.Join(folder, "services.json"))}
}

// Warn logs text unchanged.
func (l *Log) Warn(text string) { l.log.WithField(Verbatim, true).Warn(text) }

// tailLines is the number of lines of a service's log in a warning.
const tailLines = 50

// Tail returns the end of a service's log, or the error in parentheses.
func (l *Log) Tail(ctx context.Context, s job.Running) string {
	text, err := l.source.Tail(ctx, s.ID, tailLines)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}

// lookTime limits how long a stage reads from its services after its script has ended.
const lookTime = 10 * time.Second

// Follow logs the services' output since the last stage, and continues until stop is called. Stop returns when
// all output up to that time is logged.
func (l *Log) Follow(ctx context.Context, services []job.Running) (stop func()) {
	if len(services) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	for _, s := range services {
		following.Go(func() { l.show(ctx, s, true) })
	}
	return func() {
		cancel()
		following.Wait()
		last, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		for _, s := range services {
			l.show(last, s, false)
		}
		l.keep()
	}
}

func (l *Log) show(ctx context.Context, s job.Running, follow bool) {
	err := l.source.Lines(ctx, s.ID, l.shown.get(s.ID).Last, follow, func(at time.Time, line string) {
		l.log.WithField(Verbatim, true).Info(service.Line(s.Label, at, line))
		l.shown.update(s.ID, func(one *lines) { one.Last = at })
	})
	if err != nil {
		l.log.Warnf("Could not read the log of service %s: %v", s.Image, err)
	}
}

// ReportEnded reports each service that has ended, once per job, with the end of its log. It returns the
// containers of all services that have ended. Text formats the warning, except for a service that ended
// right after its start.
func (l *Log) ReportEnded(ctx context.Context, services []job.Running, text func(name, why, log string) string) map[string]bool {
	if len(services) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	ended := map[string]bool{}
	for _, s := range services {
		if l.shown.get(s.ID).Ended {
			ended[s.ID] = true
			continue
		}
		state, err := l.source.Service(ctx, s.ID)
		switch {
		case err != nil:
			l.log.Warnf("Could not get the state of service %s: %v", s.Image, err)
			continue
		case state.Running, state.Gone: // it was removed, for example with the job
			continue
		}
		ended[s.ID] = true
		l.shown.update(s.ID, func(one *lines) { one.Ended = true })
		why := service.Ended(state.ExitCode, state.OutOfMemory)
		if state.ExitCode == 0 && len(s.Ports) == 0 && !s.Health {
			l.log.Infof("Service %s: %s.", s.Image, why) // exit code 0: its work may be done
			continue
		}
		warning := text
		if state.Lived > 0 && state.Lived < early {
			warning = service.NotStarted
		}
		l.Warn(warning(s.Image, why, l.Tail(ctx, s)))
	}
	if len(ended) > 0 {
		l.keep()
	}
	return ended
}

func (l *Log) keep() {
	if err := l.shown.write(); err != nil {
		l.log.Warnf("Could not save which lines of the services' logs were shown; the next stage may repeat them: %v", err)
	}
}

// shown is the position in the services' logs up to which the job log has them.
type shown struct {
	path string
	mu   sync.Mutex
	of   map[string]lines // by container ID
}

type lines struct {
	Last  time.Time `json:"last"`  // time of the last line; zero for none
	Ended bool      `json:"ended"` // the end of the service was reported
}

func readShown(path string) *shown {
	s := &shown{path: path, of: map[string]lines{}}
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &s.of) != nil {
		s.of = map[string]lines{} // repeated lines are better than missing lines
	}
	return s
}

func (s *shown) update(id string, change func(*lines)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[id]
	change(&one)
	s.of[id] = one
}

func (s *shown) get(id string) lines {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[id]
}

func (s *shown) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(s.of)
	if err != nil {
		return err
	}
	err = os.WriteFile(s.path, text, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
