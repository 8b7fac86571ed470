package engine

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/versions"
)

// State is the state of a container.
type State struct {
	Running  bool
	PID      int // of the first process, on the engine's machine; 0 if it does not run
	ExitCode int
	OutOfMem bool // the kernel killed a process because memory ran out
	// Lived is the time between its last start and its end. It is not positive if the
	// container has not ended or the engine does not say.
	Lived     time.Duration
	Health    Health
	HealthLog string // output of the last health check
}

// Health is the result of an image's health check.
type Health string

// The states of health. NoHealth is that of an image without a health check.
const (
	NoHealth  Health = ""
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// State returns the state of a container.
func (e *Engine) State(ctx context.Context, id string) (State, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return State{}, e.wrap("looking at container "+id, err)
	}
	s := State{Running: c.State.Running, PID: c.State.Pid, ExitCode: c.State.ExitCode, OutOfMem: c.State.OOMKilled}
	began, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	ended, err2 := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
	if err == nil && err2 == nil && !s.Running {
		s.Lived = ended.Sub(began)
	}
	if h := c.State.Health; h != nil && h.Status != container.NoHealthcheck {
		s.Health = Health(h.Status)
		if n := len(h.Log); n > 0 {
			s.HealthLog = strings.TrimSpace(h.Log[n-1].Output)
		}
	}
	return s, nil
}

// AwaitStop waits until a container has stopped, or ctx ends.
func (e *Engine) AwaitStop(ctx context.Context, id string) error {
	stopped, failed := e.client.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case <-stopped:
		return nil
	case err := <-failed:
		return e.wrap("waiting for container "+id, err)
	}
}

// eventsTime limits the wait for the event of a container's end. The engine sends it a moment after the container is
// seen as stopped.
const eventsTime = 3 * time.Second

// EndedByItself reports whether a container has ended and the engine was not asked to kill or stop it. It is false
// if the engine has no record of the end: it keeps the last 256 events until it is restarted.
func (e *Engine) EndedByItself(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, eventsTime)
	defer cancel()
	// Until is the engine's time. The timeout applies if its clock is behind.
	happened, failed := e.client.Events(ctx, events.ListOptions{
		Since: "1", Until: strconv.FormatInt(time.Now().Add(eventsTime).Unix(), 10),
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("container", id)),
	})
	for {
		select {
		case m := <-happened:
			switch m.Action {
			case events.ActionKill, events.ActionOOM:
				return false
			case events.ActionDie:
				return true
			}
		case <-failed:
			return false
		}
	}
}

// health converts pace to the engine's type. Fields that are not set keep the image's
// values. Engines before 25 have only one interval.
func (e *Engine) health(ctx context.Context, pace *HealthPace) *container.HealthConfig {
	if pace == nil {
		return nil
	}
	h := &container.HealthConfig{StartPeriod: pace.Period}
	if _, err := e.client.Ping(ctx); err == nil && versions.GreaterThanOrEqualTo(e.client.ClientVersion(), "1.44") {
		h.StartInterval = pace.Every
	} else {
		h.Interval = max(pace.Every, 2*time.Second)
	}
	return h
}
