package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/servicelog"
)

// awaitServices waits until the job can reach every service, and warns of each that is
// not ready in time or has ended.
func (b *Backend) awaitServices(ctx context.Context, build started, m *made, services []job.Running, log *servicelog.Log) error {
	if len(services) == 0 || m.ServiceTimeout <= 0 {
		return nil
	}
	defer observe.Begin(ctx, observe.Services)()
	b.Log.Info(service.Waiting(m.ServiceTimeout))
	limited, cancel := context.WithTimeout(ctx, m.ServiceTimeout)
	defer cancel()
	unready := make([]error, len(services))
	var wg sync.WaitGroup
	for n, s := range services {
		wg.Go(func() { unready[n] = b.awaitService(limited, build, m.ServiceTimeout, s) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for services: %w", ctx.Err())
	}
	ended := log.ReportEnded(ctx, services, service.NotStarted)
	for n, s := range services {
		if unready[n] != nil && !ended[s.ID] {
			log.Warn(service.NotStarted(s.Image, unready[n].Error(), log.Tail(ctx, s)))
		}
	}
	return nil
}

// awaitService returns when the service is ready or has ended. The service log reports
// a service that has ended. If ctx ends first, awaitService returns an error. A service
// without a port or health check counts as ready.
func (b *Backend) awaitService(ctx context.Context, build started, timeout time.Duration, s job.Running) error {
	if !s.Health && len(s.Ports) == 0 {
		return nil
	}
	alive, died := context.WithCancel(ctx)
	defer died()
	go func() {
		if err := b.Engine.AwaitStop(alive, s.ID); err == nil || engine.IsNotFound(err) {
			died()
		}
	}()
	var err error
	if s.Health {
		err = b.awaitHealth(alive, s)
	} else {
		err = b.awaitPorts(alive, build, timeout, s)
	}
	if alive.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// awaitPorts lets the agent in the job container dial: a service is only ready if the job
// can reach it.
func (b *Backend) awaitPorts(ctx context.Context, build started, timeout time.Duration, s job.Running) error {
	request := agent.AwaitRequest{Timeout: timeout}
	if deadline, ok := ctx.Deadline(); ok {
		request.Timeout = time.Until(deadline)
	}
	for _, port := range s.Ports {
		request.Addresses = append(request.Addresses, net.JoinHostPort(s.Name, strconv.Itoa(port)))
	}
	// The agent stops at its own time limit and returns the reason; ctx ends only if the service does.
	dead, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel()
		}
	})()
	answer, err := b.Inside(build.id, build.agent(), jobcontainer.Name).Await(dead, request)
	if _, late := errors.AsType[*agentclient.LateError](err); late { // the machine is too busy to answer
		answer.Error = err.Error()
	} else if err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("no connection to TCP port %s within %s: %s", ports(s.Ports), timeout, answer.Error)
	}
	return nil
}

func ports(all []int) string {
	text := ""
	for n, p := range all {
		if n > 0 {
			text += " or "
		}
		text += strconv.Itoa(p)
	}
	return text
}

func (b *Backend) awaitHealth(ctx context.Context, s job.Running) error {
	for {
		state, err := b.Engine.State(context.WithoutCancel(ctx), s.ID)
		switch {
		case err != nil:
			return err
		case state.Health == engine.Healthy || state.Health == engine.NoHealth:
			return nil
		case ctx.Err() != nil || state.Health == engine.Unhealthy:
			if state.HealthLog == "" {
				return fmt.Errorf("the image's health check reports %q", state.Health)
			}
			return fmt.Errorf("the image's health check reports %q: %s", state.Health, fault.Brief(state.HealthLog))
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}
