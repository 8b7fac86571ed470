package readiness

import (
	"context"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/job"
)

// On a busy machine the time limit may pass before the agent has begun to dial.
func TestAwaitPortsReportsTimeout(t *testing.T) {
	container := agentclient.Container{Name: "the job's container", Exec: func(ctx context.Context, _ []string) (agentclient.Stream, error) {
		<-ctx.Done() // it never answers
		return nil, ctx.Err()
	}}
	w := Waiter{Job: container, Timeout: 2 * time.Second}
	s := job.Running{Name: "x", Ports: []int{6379, 7777}}
	const want = "no connection to TCP port 6379 or 7777 within 2s: "

	up, cancel := context.WithDeadline(t.Context(), time.Now().Add(100*time.Millisecond-5*time.Second))
	defer cancel()
	if err := w.awaitPorts(up, s); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.awaitPorts(stopped, s); err == nil || strings.HasPrefix(err.Error(), want) {
		t.Errorf("stopped, not late: %v", err)
	}
}
