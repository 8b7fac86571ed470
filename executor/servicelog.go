package executor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/service"
)

// Verbatim marks an entry of the log whose message is the job log's text as it
// is, without what its level puts around it.
const Verbatim = "verbatim"

func (x *Executor) warn(text string) { x.Log.WithField(Verbatim, true).Warn(text) }

// tailLines is how much of a service's log a warning shows.
const tailLines = 50

func (x *Executor) tail(ctx context.Context, s job.Running) string {
	text, err := x.Engine.Logs(ctx, s.ID, tailLines)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}

// seen is what the job log has shown of the services so far. Each stage is a
// process of its own, so it is kept in the job's folder; without the folder,
// which cleanup removes, it is forgotten, as it should be.
type seen struct {
	path string
	mu   sync.Mutex
	of   map[string]shown // by the container's ID
}

type shown struct {
	Last  time.Time `json:"last"`  // of the log's lines; zero for none
	Ended bool      `json:"ended"` // it was told that the service has
}

// seen is that of the job, one for the whole process.
func (x *Executor) seen(i Identity) *seen {
	path := filepath.Join(x.folder(i), "services.json")
	x.lastSeenLock.Lock()
	defer x.lastSeenLock.Unlock()
	if x.lastSeen != nil && x.lastSeen.path == path {
		return x.lastSeen
	}
	s := &seen{path: path, of: map[string]shown{}}
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &s.of) != nil {
		s.of = map[string]shown{} // lines come twice rather than not at all
	}
	x.lastSeen = s
	return s
}

func (s *seen) update(id string, change func(*shown)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[id]
	change(&one)
	s.of[id] = one
}

func (s *seen) get(id string) shown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[id]
}

func (s *seen) write() error {
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

func (x *Executor) keep(s *seen) {
	if err := s.write(); err != nil {
		x.Log.Warnf("What was shown of the services' logs is forgotten: %v", err)
	}
}

// lookTime bounds what a stage spends on its services when its script has ended.
const lookTime = 10 * time.Second

// showLogs shows what the services write, and have written since the last
// stage, in the job log, until the function that it returns is called. That one
// returns when everything written by then is shown.
func (x *Executor) showLogs(ctx context.Context, i Identity, services []job.Running) (stop func()) {
	if len(services) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	seen := x.seen(i)
	show := func(ctx context.Context, s job.Running, follow bool) {
		err := x.Engine.EachLog(ctx, s.ID, seen.get(s.ID).Last, follow, func(at time.Time, line string) {
			x.Log.WithField(Verbatim, true).Info(service.Line(s.Label, at, line))
			seen.update(s.ID, func(one *shown) { one.Last = at })
		})
		if err != nil && !engine.IsNotFound(err) {
			x.Log.Warnf("The log of service %s cannot be shown: %v", s.Image, err)
		}
	}
	var following sync.WaitGroup
	for _, s := range services {
		following.Go(func() { show(ctx, s, true) })
	}
	return func() {
		cancel()
		following.Wait()
		last, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		for _, s := range services {
			show(last, s, false)
		}
		x.keep(seen)
	}
}

// reportDead tells, once in a job, of each service that has ended, with the tail
// of its log, and returns the containers of those that have.
func (x *Executor) reportDead(ctx context.Context, i Identity, services []job.Running, text func(name, why, log string) string) map[string]bool {
	if len(services) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	dead := map[string]bool{}
	seen := x.seen(i)
	for _, s := range services {
		if seen.get(s.ID).Ended {
			dead[s.ID] = true
			continue
		}
		state, err := x.Engine.State(ctx, s.ID)
		switch {
		case err == nil && state.Running, engine.IsNotFound(err): // or is removed with the job
			continue
		case err != nil:
			x.Log.Warnf("Whether service %s runs is not known: %v", s.Image, err)
			continue
		}
		dead[s.ID] = true
		seen.update(s.ID, func(one *shown) { one.Ended = true })
		why := service.Ended(state.ExitCode, state.OutOfMem)
		if state.ExitCode == 0 && len(s.Ports) == 0 && !s.Health {
			x.Log.Infof("Service %s: %s.", s.Image, why) // it may have had nothing more to do
			continue
		}
		x.warn(text(s.Image, why, x.tail(ctx, s)))
	}
	if len(dead) > 0 {
		x.keep(seen)
	}
	return dead
}
