// Package readiness waits until the services of a job are ready.
package readiness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/servicelog"
)

// Waiter waits for the services of one job.
type Waiter struct {
	// Job is the job container, from which the services are dialled.
	Job agentclient.Container
	// Timeout is for all services together; they are not waited for unless it is positive.
	Timeout time.Duration
	// Ended waits until the service's container has ended, or ctx does. It reports whether the container has.
	Ended func(ctx context.Context, s job.Running) bool
	// Healthy waits until the health check of the service's image succeeds. It returns an error if the check fails or
	// ctx ends. It is called for services with Health.
	Healthy func(ctx context.Context, s job.Running) error
	Log     logrus.FieldLogger
}

// Await waits until the job can reach every service, and warns of each that is
// not ready in time or has ended.
func (w Waiter) Await(ctx context.Context, services []job.Running, log *servicelog.Log) error {
	if len(services) == 0 || w.Timeout <= 0 {
		return nil
	}
	defer observe.Begin(ctx, observe.Services)()
	w.Log.Info(service.Waiting(w.Timeout))
	limited, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	unready := make([]error, len(services))
	var all sync.WaitGroup
	for n, s := range services {
		all.Go(func() { unready[n] = w.one(limited, s) })
	}
	all.Wait()
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

// one returns when the service is ready or has ended. The service log reports
// a service that has ended. If ctx ends first, one returns an error. A service
// without a port or health check counts as ready.
func (w Waiter) one(ctx context.Context, s job.Running) error {
	if !s.Health && len(s.Ports) == 0 {
		return nil
	}
	alive, died := context.WithCancel(ctx)
	defer died()
	go func() {
		if w.Ended(alive, s) {
			died()
		}
	}()
	var err error
	if s.Health {
		err = w.Healthy(alive, s)
	} else {
		err = w.awaitPorts(alive, s)
	}
	if alive.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// awaitPorts lets the agent in the job container dial: a service is only ready if the job
// can reach it.
func (w Waiter) awaitPorts(ctx context.Context, s job.Running) error {
	request := agent.AwaitRequest{Timeout: w.Timeout}
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
	answer, err := w.Job.Await(dead, request)
	if _, late := errors.AsType[*agentclient.LateError](err); late { // the machine is too busy to answer
		answer.Error = err.Error()
	} else if err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("no connection to TCP port %s within %s: %s", ports(s.Ports), w.Timeout, answer.Error)
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
