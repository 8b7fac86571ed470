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

// What an agent may write in answer to a question, in bytes. A true answer has some
// kilobytes.
const (
	mostAnswer = 1 << 20
	mostErrors = 64 << 10
)

// answerTime is what an agent has, beyond the time that its question gives it, to
// begin and to answer.
const answerTime = 5 * time.Second

// LateError says that no answer came in time.
type LateError struct {
	Container, Question string
	Limit               time.Duration
}

func (e *LateError) Error() string {
	return fmt.Sprintf("the agent in %s has not answered %q within %s: a process in the container keeps it from working, or there is too much for it to do", e.Container, e.Question, e.Limit)
}

// ask starts one of the agent's subcommands and asks it. The input stays open until the
// answer is there: its end says to the agent that nobody waits.
func ask[O, R any](ctx context.Context, c Container, subcommand string, limit time.Duration, order O) (report R, err error) {
	late := &LateError{c.Name, subcommand, limit}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	s, err := c.start(ctx, subcommand)
	if err != nil && context.Cause(ctx) == late {
		return report, fmt.Errorf("%w (%w)", late, err) // it is the engine that is slow
	} else if err != nil {
		return report, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)()
	nonce := rand.Text()
	question, err := json.Marshal(agent.Question[O]{Nonce: nonce, Order: order})
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
		return report, fault.Jobf("the agent in %s wrote %v in answer to %q: a process in the container writes in its place", c.Name, tooMuch, subcommand)
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
	return a.Report, nil
}

// impossible is the error of an answer that no agent gives.
func (c Container) impossible(subcommand string, why error) error {
	return fault.Jobf("the agent in %s gave an impossible answer to %q: %w", c.Name, subcommand, why)
}

// unanswered says why there is no answer in what an agent said. An answer whose end
// is missing is no fault of the job's: the engine may have lost it
// (moby/moby#49655), and so may the end of its container.
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

// mostParts bounds how many values an answer may consist of: each takes some hundred
// bytes of memory, and no more than one of the answer.
const mostParts = 10_000

// errCutOff says that the end of an answer is missing.
var errCutOff = errors.New("its end is missing")

// decode reads an answer, which is one value.
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

// Limited keeps what is written to it, up to Most bytes. What goes beyond that is an
// error, and nothing of it is kept.
type Limited struct {
	Most int
	text bytes.Buffer // not embedded: it has more ways to be written to
}

func (l *Limited) Bytes() []byte { return l.text.Bytes() }

func (l *Limited) String() string { return l.text.String() }

// tooMuchError says that more was written than may be.
type tooMuchError struct{ most int }

func (e *tooMuchError) Error() string { return "more than " + format.Bytes(e.most) }

func (l *Limited) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > l.Most {
		return 0, &tooMuchError{l.Most}
	}
	return l.text.Write(p)
}
