package agentclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// confirmEvery is how much output is confirmed at a time, in bytes: a part of what the agent keeps in memory.
const confirmEvery = 64 << 10

// Between two attempts to get back to a script. An attempt itself may take seconds.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// keptScript is a script that goes on while the connection is broken (agent.Keep).
type keptScript struct {
	Script
	container Container
	out       io.Writer
	failed    error        // of out
	got       atomic.Int64 // the length of the output that out has
	begun     bool         // the agent has answered
}

// brokenError means that the connection to a script was lost, or could not be made.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// steady is how long a connection lasts that counts even if nothing arrives over it.
const steady = time.Second

// runKept is Run with Script.Reconnect.
func (c Container) runKept(ctx context.Context, s Script, out io.Writer) (agent.Outcome, error) {
	k := &keptScript{Script: s, container: c, out: out}
	var since time.Time // when the connection broke
	pause := firstPause
	for {
		l := k.link(since)
		got := k.got.Load()
		o, err := l.run(ctx, since.IsZero())
		broken, ok := errors.AsType[*brokenError](err)
		if !ok {
			return o, err
		}
		lasted := !l.answered.IsZero() && time.Since(l.answered) > steady
		if lasted || k.got.Load() >= got+confirmEvery {
			pause = firstPause
		}
		if since.IsZero() || lasted || k.got.Load() > got {
			since = time.Now()
			k.tell(fmt.Sprintf("The connection to %s was lost: %s. It goes on; trying to reach it again for %s.", s.Stage, fault.Brief(broken.Error()), s.Reconnect))
		}
		select {
		case <-ctx.Done():
			return agent.Outcome{}, &ScriptError{Stage: s.Stage, Code: 137, Signal: "SIGKILL", Stopped: true}
		case <-time.After(min(pause, s.Reconnect/10)):
			pause = min(2*pause, longestPause)
		}
		if time.Since(since) > s.Reconnect {
			return agent.Outcome{}, fmt.Errorf("%s: the connection to the script was lost, and did not come back within %s (run.reconnect): %w", s.Stage, s.Reconnect, broken.err)
		}
	}
}

func (k *keptScript) tell(text string) {
	if k.Tell != nil {
		k.Tell(text)
	}
}

// link is one connection to the script.
type link struct {
	*keptScript
	stream    Stream
	outcome   outcomeReader
	ended     atomic.Pointer[agent.Outcome]
	line      []byte        // the beginning of the output, until the line with the nonce was there
	said      []byte        // the end of what came before it
	answered  time.Time     // when the line with the nonce was there
	confirmed int64         // the value of got when more was sent
	since     time.Time     // when the connection before was lost; zero for the first one
	more      chan struct{} // there is output to confirm
	whole     chan struct{} // closed when all output and the outcome have arrived
	once      sync.Once
}

// link returns the next connection. The one before was lost at that time.
func (k *keptScript) link(since time.Time) *link {
	return &link{
		keptScript: k, outcome: outcomeReader{nonce: k.Request.Nonce}, since: since,
		more: make(chan struct{}, 1), whole: make(chan struct{}),
	}
}

// run connects and copies until the script has ended or the connection is lost. The latter is a *brokenError. First is
// false after a connection was lost.
func (l *link) run(ctx context.Context, first bool) (agent.Outcome, error) {
	e, err := l.container.start(context.WithoutCancel(ctx), "exec")
	switch {
	case errdefs.IsNotFound(err), errdefs.IsConflict(err):
		return agent.Outcome{}, fmt.Errorf("%s is gone: %w", l.container.Name, err)
	// An API server that has just started may refuse what it allows later.
	case first && (errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) || errdefs.IsInvalidArgument(err)):
		return agent.Outcome{}, err
	case err != nil:
		return agent.Outcome{}, &brokenError{err}
	}
	defer e.Close()
	l.stream = e
	l.Request.Keep = &agent.Keep{For: l.Reconnect, Dir: l.Request.Watch.Volume, Got: l.got.Load(), Begun: l.begun}
	if l.begun {
		l.Request.Length = 0
	}
	request, err := l.request()
	if err != nil {
		return agent.Outcome{}, err
	}
	over := make(chan struct{})
	defer close(over)
	go l.send(ctx, request, over)
	stopped := context.AfterFunc(ctx, func() { time.AfterFunc(l.Request.Grace+stopTime, e.Close) })
	defer stopped()
	l.confirmed = l.got.Load()
	l.outcome.found = func() { l.ended.Store(l.outcome.outcome); l.check() }
	copyErr := e.Copy(body{l}, &l.outcome)
	return l.result(ctx, copyErr)
}

// send sends the request, and then what the agent has to know.
func (l *link) send(ctx context.Context, request []byte, over <-chan struct{}) {
	cancel := ctx.Done()
	for message := request; ; {
		if _, err := l.stream.Write(message); err != nil {
			return
		}
		select {
		case <-cancel:
			message, cancel = []byte{agent.Cancel}, nil
		case <-l.more:
			message = agent.AppendReceived(nil, l.got.Load())
		case <-l.whole:
			_, _ = l.stream.Write([]byte{agent.Whole}) // otherwise the agent waits until a later stage begins
			return
		case <-over:
			return
		}
	}
}

// check ends the connection if everything has arrived.
func (l *link) check() {
	if o := l.ended.Load(); o != nil && l.got.Load() >= o.Output {
		l.once.Do(func() {
			close(l.whole)
			l.stream.Finish()
		})
	}
}

// body takes the output.
type body struct{ *link }

func (b body) Write(p []byte) (int, error) {
	size := len(p)
	for b.answered.IsZero() && len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		}
		b.take(p[:n])
		p = p[n:]
	}
	if len(p) == 0 {
		return size, nil
	}
	n, err := b.out.Write(p)
	got := b.got.Add(int64(n))
	if err != nil {
		b.failed = err
		return 0, err
	}
	if got-b.confirmed >= confirmEvery {
		select {
		case b.more <- struct{}{}:
			b.confirmed = got
		default: // the one before is not sent yet
		}
	}
	b.check()
	return size, nil
}

// take takes a part of a line that may be the one with the nonce. Others are not the script's: an engine may write why it
// could not start the agent.
func (l *link) take(part []byte) {
	l.line = append(l.line, part[:min(len(part), mostSaid-len(l.line))]...)
	if !bytes.HasSuffix(part, []byte("\n")) {
		return
	}
	if string(l.line) == l.Request.Nonce+"\n" {
		l.answered, l.begun = time.Now(), true
		if !l.since.IsZero() {
			l.tell(fmt.Sprintf("The connection to %s is back after %s.", l.Stage, time.Since(l.since).Round(100*time.Millisecond)))
		}
		return
	}
	l.said = append(l.said, l.line...)
	l.said, l.line = l.said[max(0, len(l.said)-mostSaid):], l.line[:0]
}

// result is how the connection ended.
func (l *link) result(ctx context.Context, copyErr error) (agent.Outcome, error) {
	o := l.ended.Load()
	if o != nil && (l.got.Load() >= o.Output || ctx.Err() != nil) {
		checkOutcome(l.Request, o)
		return *o, failure(l.Stage, *o)
	}
	said := append(append(append(l.said, l.line...), ' '), l.outcome.said...)
	if l.failed != nil || ctx.Err() != nil {
		return agent.Outcome{}, l.container.lost(ctx, l.stream, l.Stage, copyErr, said)
	}
	ended, code, err := l.stream.Ended(ctx)
	if _, known := errors.AsType[*EndedError](err); known || err == nil && ended && code != 0 && o == nil {
		return agent.Outcome{}, l.container.lostAs(l.Stage, ended, code, err, copyErr, said)
	}
	switch {
	case copyErr != nil:
		return agent.Outcome{}, &brokenError{copyErr}
	case err != nil:
		return agent.Outcome{}, &brokenError{err}
	}
	return agent.Outcome{}, &brokenError{errors.New("its output ended early")}
}
