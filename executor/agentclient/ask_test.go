package agentclient

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// writing is a process that writes a text once it has its request; NONCE in it is the
// request's.
func writing(text string) process {
	return func(in *bufio.Reader, stdout, _ io.Writer) int {
		_, _ = io.WriteString(stdout, strings.ReplaceAll(text, "NONCE", nonceOf(in))) // the driver may have had enough
		return 0
	}
}

// answering is one that answers its question with a report's text.
func answering(report string) process { return writing(`{"nonce":"NONCE","response":` + report + `}`) }

// ending is one that says something on its standard error and ends.
func ending(code int, stderr string) process {
	return func(in *bufio.Reader, _, errors io.Writer) int {
		nonceOf(in)
		_, _ = io.WriteString(errors, stderr)
		return code
	}
}

func flood(w io.Writer, text string) int {
	for text = strings.Repeat(text, 20_000); ; {
		if _, err := io.WriteString(w, text); err != nil {
			return 1
		}
	}
}

// wantShort wants an error of a class, on one line that is not long, that says so.
func wantShort(t *testing.T, err error, class fault.Class, texts ...string) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != class || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 700 {
		t.Fatalf("got %.1000q of class %v", fmt.Sprint(err), fault.ClassOf(err))
	}
	for _, text := range append(texts, "the test's container") {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %q", text, err)
		}
	}
}

// Whatever is in the agent's place, an answer takes little memory and time, and what
// cannot be an agent's is the job's fault.
func TestHostileAnswers(t *testing.T) {
	const limit = 200 * time.Millisecond
	sleep := func() int { time.Sleep(10 * limit); return 0 }
	for name, c := range map[string]struct {
		process process
		class   fault.Class
		says    string
		limit   time.Duration // of time; 0 for a long one
	}{
		"a flood":             {func(in *bufio.Reader, stdout, _ io.Writer) int { nonceOf(in); return flood(stdout, " ") }, fault.Job, "more than 1MiB", 0},
		"a flood of lines":    {func(in *bufio.Reader, stdout, _ io.Writer) int { nonceOf(in); return flood(stdout, "{}\n") }, fault.Job, "more than 1MiB", 0},
		"a flood of errors":   {func(in *bufio.Reader, _, stderr io.Writer) int { nonceOf(in); return flood(stderr, "e") }, fault.Job, "more than 64KiB", 0},
		"silence":             {func(in *bufio.Reader, _, _ io.Writer) int { nonceOf(in); return sleep() }, fault.Job, `has not answered "inspect" within 200ms`, limit},
		"deafness":            {func(*bufio.Reader, io.Writer, io.Writer) int { return sleep() }, fault.Job, `has not answered "inspect" within 200ms`, limit},
		"an answer and more":  {writing(`{"nonce":"NONCE","response":{}} {}`), fault.Job, "impossible answer", 0},
		"without a nonce":     {writing(`{"response":{"shell":"/bin/sh","entrypoint":"none"}}`), fault.Job, "lacks the question's nonce", 0},
		"another nonce":       {writing(`{"nonce":"xNONCE","response":{}}`), fault.Job, "lacks the question's nonce", 0},
		"no JSON":             {writing("\x1b[31mno\nJSON"), fault.Job, "invalid character", 0},
		"another type":        {answering(`{"uid":"root"}`), fault.Job, "cannot unmarshal", 0},
		"many things":         {answering(`{"mount_faults":[{}` + strings.Repeat(",{}", 300_000) + `]}`), fault.Job, "more than 10000 values", 0},
		"deep things":         {answering(strings.Repeat("[", 900_000)), fault.Job, "more than 10000 values", 0},
		"rather deep things":  {answering(strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)), fault.Job, "cannot unmarshal", 0},
		"a number beyond all": {answering(`{"uid":1` + strings.Repeat("0", 900_000) + `}`), fault.Job, "cannot unmarshal", 0},
		"a crash":             {ending(2, "runtime:\n\x1b[1mfailed"), fault.Job, "ended with exit code 2", 0},
		// The engine may have lost the end, or the machine may be in trouble.
		"nothing":         {ending(0, ""), fault.System, "no answer", 0},
		"half an answer":  {writing(`{"nonce":"NONCE","response":{`), fault.System, "no answer", 0},
		"no such program": {ending(126, "OCI runtime exec failed"), fault.System, "OCI runtime exec failed", 0},
		"a kill":          {ending(137, ""), fault.System, "no answer", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := container(t, c.process).Inspect(t.Context(), agent.InspectRequest{}, cmp.Or(c.limit, time.Minute))
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
				t.Errorf("%d bytes were allocated", took)
			}
			wantShort(t, err, c.class, c.says)
		})
	}
}

func TestAskStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := container(t, func(in *bufio.Reader, _, _ io.Writer) int { _, _ = io.Copy(io.Discard, in); return 0 }).Look(ctx, agent.LookRequest{}, time.Minute)
	if !errors.Is(err, context.Canceled) || fault.ClassOf(err) != fault.System {
		t.Error(err)
	}
}

func TestContainerThatIsGone(t *testing.T) {
	gone := Container{Name: "it", Exec: func(context.Context, []string) (Stream, error) { return nil, errdefs.ErrNotFound }}
	if _, err := gone.Look(t.Context(), agent.LookRequest{}, time.Minute); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := gone.Run(t.Context(), Script{}, io.Discard); !errdefs.IsNotFound(err) || !strings.HasPrefix(err.Error(), "it is gone") {
		t.Error(err)
	}
}
