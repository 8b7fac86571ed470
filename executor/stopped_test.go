package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
)

// stopped is an agent whose script was stopped by the end of its container.
type stopped struct{ asked chan agent.ExecRequest }

func (s stopped) Write(p []byte) (int, error) {
	line, _, _ := bytes.Cut(p, []byte("\n"))
	var o agent.ExecRequest
	if err := json.Unmarshal(line, &o); err == nil {
		s.asked <- o
	}
	return len(p), nil
}

func (s stopped) Copy(_, stderr io.Writer) error {
	return json.NewEncoder(stderr).Encode(agent.Outcome{Nonce: (<-s.asked).Nonce, Code: 143, Stopped: true})
}

func (stopped) Finish()                                  {}
func (stopped) Ended(context.Context) (bool, int, error) { return true, 143, nil }
func (stopped) Close()                                   {}

// If the backend has ended the container, its reason is the stage's error, with its class.
func TestWhyTheContainerWasStopped(t *testing.T) {
	x, b := inMemory(t)
	run := func() error {
		b.exec = stopped{make(chan agent.ExecRequest, 1)}
		return x.Run(t.Context(), identity, job.Environment{Container: "c"}, Script{Stage: "build_script"}, io.Discard)
	}
	if _, ok := errors.AsType[*StoppedError](run()); !ok {
		t.Error("without a reason")
	}
	b.why = fault.Jobf("it wrote too much")
	if err := run(); fault.ClassOf(err) != fault.Job || err.Error() != "build_script: it wrote too much" {
		t.Errorf("with a reason: %v", err)
	}
}

// A job that an older version has prepared has an agent that knows nothing of broken connections.
func TestJobOfAnOlderVersion(t *testing.T) {
	x, b := inMemory(t)
	x.Reconnect, b.remote = time.Minute, true
	for _, keeps := range []bool{false, true} {
		stream := &recorded{stopped: stopped{make(chan agent.ExecRequest, 1)}}
		b.exec = stream
		_ = x.Run(t.Context(), identity, job.Environment{Container: "c", Keeps: keeps}, Script{Stage: "build_script"}, io.Discard)
		if got := bytes.Contains(stream.request, []byte(`"keep":`)); got != keeps {
			t.Errorf("keeps %t, but asked for it: %t", keeps, got)
		}
	}
}

// recorded is stopped, and has what was written first.
type recorded struct {
	stopped
	once    sync.Once
	request []byte
}

func (r *recorded) Write(p []byte) (int, error) {
	r.once.Do(func() { r.request = bytes.Clone(p) })
	return r.stopped.Write(p)
}
