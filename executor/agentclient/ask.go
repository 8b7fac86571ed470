package agentclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/format"
)

// The largest response of an agent, in bytes. A correct one has some kilobytes.
const (
	mostAnswer = 1 << 20
	mostErrors = 64 << 10
)

// answerTime is the time that an agent has to start and to answer, in addition to that of the
// request.
const answerTime = 5 * time.Second

// LateError reports that no response came in time.
type LateError struct {
	Container, Question string
	Limit               time.Duration
}

func (e *LateError) Error() string {
	return fmt.Sprintf("the agent in %s has not answered %q within %s: a process in the container blocks it, or it has too much to do", e.Container, e.Question, e.Limit)
}

// ask starts a subcommand of the agent and sends it a request. The input stays open until the
// response is complete: the end of the input means that no process waits for it.
func ask[O, R any](ctx context.Context, c Container, subcommand string, limit time.Duration, request O) (report R, err error) {
	late := &LateError{c.Name, subcommand, limit}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	s, err := c.start(ctx, subcommand)
	if err != nil && context.Cause(ctx) == late {
		return report, fmt.Errorf("%w (%w)", late, err) // it was not started in time
	} else if err != nil {
		return report, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	nonce := rand.Text()
	question, err := json.Marshal(agent.Question[O]{Nonce: nonce, Request: request})
	if err != nil {
		return report, err
	}
	stdout, stderr := Limited{Most: mostAnswer}, Limited{Most: mostErrors}
	if _, err = s.Write(append(question, '\n')); err == nil {
		err = s.Copy(&stdout, &stderr)
	}
	tooMuch, isTooMuch := errors.AsType[*tooMuchError](err)
	switch {
	case isTooMuch:
		return report, fault.Jobf("the agent in %s wrote %v in answer to %q: a process in the container writes in place of the agent", c.Name, tooMuch, subcommand)
	case context.Cause(ctx) == late:
		return report, fault.Jobf("%w", late)
	case ctx.Err() != nil:
		return report, fmt.Errorf("asking the agent in %s: %w", c.Name, context.Cause(ctx))
	case err != nil:
		return report, fmt.Errorf("asking the agent in %s: %w", c.Name, err)
	}
	var a agent.Answer[R]
	if err := decode(stdout.Bytes(), &a); err != nil {
		return report, c.unanswered(ctx, s, subcommand, err, stderr.String()+" "+stdout.String())
	}
	if a.Nonce != nonce {
		return report, c.impossible(subcommand, errors.New("it lacks the question's nonce"))
	}
	return a.Response, nil
}

// impossible returns the error for a response that no agent sends.
func (c Container) impossible(subcommand string, why error) error {
	return fault.Jobf("the agent in %s gave an impossible answer to %q: %w", c.Name, subcommand, why)
}

// unanswered returns why what an agent wrote is no response. A truncated response is not the
// job's fault: the engine may lose the end of a stream (moby/moby#49655) or of its process.
func (c Container) unanswered(ctx context.Context, s Stream, subcommand string, why error, said string) error {
	said = fault.Brief(strings.TrimSpace(said))
	ended, code, err := s.Ended(ctx)
	switch {
	case err == nil && ended && code > 0 && code < 126:
		return fault.Jobf("the agent in %s ended with exit code %d instead of answering %q: %s", c.Name, code, subcommand, said)
	case errors.Is(why, errCutOff), ended && code >= 126: // the engine could not start it, or a signal ended it
		return fmt.Errorf("no answer from the agent in %s to %q: %s", c.Name, subcommand, said)
	}
	return c.impossible(subcommand, why)
}

// mostParts bounds the number of values in a response: each takes some hundred bytes of memory,
// and as little as one byte of text.
const mostParts = 10_000

// errCutOff means that a response is truncated.
var errCutOff = errors.New("its end is missing")

// decode decodes a response, which is one JSON value.
func decode(text []byte, answer any) error {
	if bytes.Count(text, []byte(","))+bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > mostParts {
		return fmt.Errorf("it has more than %d values", mostParts)
	}
	err := json.Unmarshal(text, answer)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(text)) {
		return errCutOff
	}
	if err != nil {
		return errors.New(fault.Brief(err.Error()))
	}
	return nil
}

// Limited stores what is written to it, up to Most bytes. A write beyond that fails and
// stores nothing.
type Limited struct {
	Most int
	text bytes.Buffer // not embedded, because a Buffer has other methods that write
}

func (l *Limited) Bytes() []byte { return l.text.Bytes() }

func (l *Limited) String() string { return l.text.String() }

// tooMuchError means that a write exceeds the limit.
type tooMuchError struct{ most int }

func (e *tooMuchError) Error() string { return "more than " + format.Bytes(e.most) }

func (l *Limited) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > l.Most {
		return 0, &tooMuchError{l.Most}
	}
	return l.text.Write(p)
}
