package docker

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// On a busy machine the time limit may pass before the agent has begun to dial.
func TestAwaitPortsReportsTimeout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	silent, err := net.Listen("unix", path) // accepts in the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	e, err := engine.New("unix://"+path, time.Minute, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b := &Backend{Engine: e}
	s := job.Running{Name: "x", Ports: []int{6379, 7777}}
	const want = "no connection to TCP port 6379 or 7777 within 2s: "

	up, cancel := context.WithDeadline(t.Context(), time.Now().Add(100*time.Millisecond-5*time.Second))
	defer cancel()
	if err := b.awaitPorts(up, started{id: "job"}, 2*time.Second, s); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.awaitPorts(stopped, started{id: "job"}, 2*time.Second, s); err == nil || strings.HasPrefix(err.Error(), want) {
		t.Errorf("stopped, not late: %v", err)
	}
}
