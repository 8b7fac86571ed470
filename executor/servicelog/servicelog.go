// Package servicelog shows in a job's log what its services write and which of them
// have ended.
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

// Verbatim marks an entry of the log whose message is the job log's text as it
// is, without what its level puts around it.
const Verbatim = "verbatim"

// State is whether a service's container runs.
type State struct {
	Running bool
	Gone    bool // it was removed
	// ExitCode and OutOfMemory are about one that has ended.
	ExitCode    int
	OutOfMemory bool
}

// Source is what has the services.
type Source interface {
	// Service is the state of a service's container.
	Service(ctx context.Context, id string) (State, error)
	// Tail is the end of its log, at most so many lines.
	Tail(ctx context.Context, id string, lines int) (string, error)
	// Lines hands each line of its log since that time to each, from one goroutine. It
	// follows the log until ctx or the service ends. One that was removed has no more.
	Lines(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error
}

// Log is the services' part of one job's log. Its methods may be called
// concurrently.
type Log struct {
	source Source
	log    logrus.FieldLogger
	shown  *shown
}

// Open is that of the job with the folder. Each stage is a process of its own, so
// what was shown is kept in the folder; without the folder, which cleanup removes, it
// is forgotten, as it should be.
func Open(folder string, source Source, log logrus.FieldLogger) *Log {
	return &Log{source, log, readShown(filepath.Join(folder, "services.json"))}
}

// Warn shows text as it is.
func (l *Log) Warn(text string) { l.log.WithField(Verbatim, true).Warn(text) }

// tailLines is how much of a service's log a warning shows.
const tailLines = 50

// Tail is the end of a service's log, or why there is none.
func (l *Log) Tail(ctx context.Context, s job.Running) string {
	text, err := l.source.Tail(ctx, s.ID, tailLines)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}

// lookTime bounds what a stage spends on its services when its script has ended.
const lookTime = 10 * time.Second

// Follow shows what the services write, and have written since the last stage, until
// the function that it returns is called. That one returns when everything written by
// then is shown.
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
		l.log.Warnf("The log of service %s cannot be shown: %v", s.Image, err)
	}
}

// ReportEnded reports, once in a job, each service that has ended, with the end of its
// log, and returns the containers of those that have. Text makes the warning.
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
			l.log.Warnf("Whether service %s runs is not known: %v", s.Image, err)
			continue
		case state.Running, state.Gone: // or is removed with the job
			continue
		}
		ended[s.ID] = true
		l.shown.update(s.ID, func(one *lines) { one.Ended = true })
		why := service.Ended(state.ExitCode, state.OutOfMemory)
		if state.ExitCode == 0 && len(s.Ports) == 0 && !s.Health {
			l.log.Infof("Service %s: %s.", s.Image, why) // it may have had nothing more to do
			continue
		}
		l.Warn(text(s.Image, why, l.Tail(ctx, s)))
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

// shown is what the job log has shown of the services so far.
type shown struct {
	path string
	mu   sync.Mutex
	of   map[string]lines // by the container's ID
}

type lines struct {
	Last  time.Time `json:"last"`  // of the log's lines; zero for none
	Ended bool      `json:"ended"` // it was reported that the service has
}

func readShown(path string) *shown {
	s := &shown{path: path, of: map[string]lines{}}
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &s.of) != nil {
		s.of = map[string]lines{} // lines come twice rather than not at all
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
