package agentclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// TestMain lets the test binary be the agent.
func TestMain(m *testing.M) {
	if os.Getenv("AGENT_TEST_FACE") == "exec" {
		os.Unsetenv("AGENT_TEST_FACE")
		os.Exit(agent.Main([]string{"exec"}))
	}
	os.Exit(m.Run())
}

// remote is a container with real agents, whose connections can be cut.
type remote struct {
	t     *testing.T
	mu    sync.Mutex
	all   []*wire
	fails atomic.Int64 // how many of the next attempts to start a process fail
}

// wire is the connection to one process.
type wire struct {
	cmd        *exec.Cmd
	in         io.WriteCloser
	stdout     io.ReadCloser
	stderr     io.ReadCloser
	lost       chan struct{}
	once       sync.Once
	ended      chan struct{}
	swallowing bool // what is on the way when the connection is cut is lost
}

var errCut = errors.New("the connection was cut")

func (r *remote) start(context.Context, []string) (Stream, error) {
	if r.fails.Add(-1) >= 0 {
		return nil, errdefs.ErrUnavailable
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// The agent knows other agents by their command line.
	w := &wire{cmd: exec.Command(self, r.t.Name()), lost: make(chan struct{}), ended: make(chan struct{}), swallowing: rand.IntN(2) == 0}
	w.cmd.Env = []string{"AGENT_TEST_FACE=exec", "PATH=" + os.Getenv("PATH")}
	w.in, _ = w.cmd.StdinPipe()
	w.stdout, _ = w.cmd.StdoutPipe()
	w.stderr, _ = w.cmd.StderrPipe()
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_, _ = w.cmd.Process.Wait()
		close(w.ended)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, w)
	r.t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w, nil
}

// cut breaks the newest connection.
func (r *remote) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) > 0 {
		w := r.all[len(r.all)-1]
		w.once.Do(func() { close(w.lost) })
	}
}

func (w *wire) Write(p []byte) (int, error) { return w.in.Write(p) }

func (w *wire) Copy(stdout, stderr io.Writer) error {
	copied := make(chan error, 2)
	var mu sync.Mutex // held while something is passed on
	over := false
	for to, from := range map[io.Writer]io.Reader{stdout: w.stdout, stderr: w.stderr} {
		go func() {
			part := make([]byte, 32<<10)
			for {
				n, err := from.Read(part)
				mu.Lock()
				if over {
					mu.Unlock()
					return
				}
				if n > 0 {
					if _, failed := to.Write(part[:n]); failed != nil {
						err = failed
					}
				}
				mu.Unlock()
				if err == io.EOF {
					err = nil
					copied <- err
					return
				} else if err != nil {
					copied <- err
					return
				}
			}
		}()
	}
	for range 2 {
		select {
		case err := <-copied:
			if err != nil {
				return err
			}
		case <-w.lost:
			mu.Lock()
			over = true
			mu.Unlock()
			if w.swallowing {
				go func() { _, _ = io.CopyN(io.Discard, w.stdout, rand.Int64N(100_000)); w.stdout.Close() }()
			}
			return errCut
		}
	}
	return nil
}

func (w *wire) Finish() { time.AfterFunc(5*time.Second, w.Close) }

func (w *wire) Ended(context.Context) (bool, int, error) {
	select {
	case <-w.lost:
		return false, 0, errdefs.ErrUnavailable
	case <-w.ended:
		return true, 0, nil
	case <-time.After(5 * time.Second):
		return false, 0, nil
	}
}

func (w *wire) Close() {
	w.once.Do(func() { close(w.lost) })
	w.in.Close()
}

func (r *remote) run(ctx context.Context, script string, reconnect time.Duration, out io.Writer) (agent.Outcome, error) {
	c := Container{Name: "the test's container", Exec: r.start, Remote: true}
	return c.Run(ctx, Script{
		Stage: "build_script", Text: []byte(script), Reconnect: reconnect, Tell: func(text string) { r.t.Log(text) },
		Request: agent.ExecRequest{Shell: "/bin/sh", Grace: 500 * time.Millisecond, Watch: agent.Watch{Volume: r.t.TempDir()}},
	}, out)
}

// buffer is written and read by different goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// However often the connection breaks, a script passes, and no byte of its output is lost or doubled.
func TestBrokenConnections(t *testing.T) {
	const lines = 60_000
	var want strings.Builder
	for n := range lines {
		fmt.Fprintln(&want, "line", n)
	}
	script := fmt.Sprintf(`n=0; while [ $n -lt %d ]; do echo line $n; n=$((n + 1)); case $n in *000) sleep 0.03;; esac; done; exit 7`, lines)
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			r := &remote{t: t}
			out := cutting{cut: func() { r.fails.Store(rand.Int64N(3)); r.cut() }, left: 3}
			_, err := r.run(t.Context(), script, time.Minute, &out)
			if failed, ok := errors.AsType[*ScriptError](err); !ok || failed.Code != 7 {
				t.Error(err)
			}
			if got := out.String(); got != want.String() {
				t.Errorf("%d bytes of output, want %d", len(got), want.Len())
			}
			if out.left != 0 || len(r.all) < 3 {
				t.Errorf("%d connections", len(r.all))
			}
		})
	}
}

// cutting is a writer that cuts the connection now and then.
type cutting struct {
	buffer
	cut        func()
	left, next int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.next -= len(p); c.next < 0 && c.left > 0 {
		c.left--
		c.next = rand.IntN(200_000)
		c.cut()
	}
	return c.buffer.Write(p)
}

// slowly is a writer that a script has to wait for.
type slowly struct {
	buffer
	cut func()
}

func (s *slowly) Write(p []byte) (int, error) {
	if s.cut != nil && s.b.Len() > 1<<20 {
		s.cut()
		s.cut = nil
	}
	if rand.IntN(50) == 0 {
		time.Sleep(time.Millisecond)
	}
	return s.buffer.Write(p)
}

// A script that writes more than is kept waits for a slow reader, and goes on after a break.
func TestMoreOutputThanIsKept(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	r := &remote{t: t}
	out := &slowly{cut: r.cut}
	_, err := r.run(t.Context(), fmt.Sprintf("yes 0123456789abcde | head -c %d", size), time.Minute, out)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); len(got) != size || strings.ReplaceAll(got, "0123456789abcde\n", "") != "" {
		t.Errorf("%d bytes", len(got))
	}
}

// cutAfterALine cuts the connection when a line has arrived. So many attempts to connect then fail.
func cutAfterALine(r *remote, out *buffer, fails int64) <-chan struct{} {
	cut := make(chan struct{})
	go func() {
		for !strings.Contains(out.String(), "\n") {
			time.Sleep(10 * time.Millisecond)
		}
		r.fails.Store(fails)
		r.cut()
		close(cut)
	}()
	return cut
}

// If no driver comes back in time, the processes of the script end; the driver says so.
func TestNoConnectionInTime(t *testing.T) {
	t.Parallel()
	const reconnect = 700 * time.Millisecond
	r := &remote{t: t}
	var out buffer
	cutAfterALine(r, &out, 1000)
	_, err := r.run(t.Context(), `trap "" TERM; echo $$; sleep 1000 & while true; do sleep 1; done`, reconnect, &out)
	if err == nil || fault.ClassOf(err) != fault.System || !strings.Contains(err.Error(), "did not come back within 700ms (run.reconnect)") {
		t.Error(err)
	}
	wantEnd(t, strings.TrimSpace(out.String()))
	// The next stage sees nothing of it.
	r.fails.Store(0)
	if _, err := r.run(t.Context(), "true", reconnect, io.Discard); err != nil {
		t.Error(err)
	}
}

// wantEnd wants a process to end soon.
func wantEnd(t *testing.T, pid string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %s still runs", pid)
		}
	}
}

// A driver that comes back too late gets an error. It does not start the script a second time.
func TestConnectionTooLate(t *testing.T) {
	t.Parallel()
	r := &remote{t: t}
	var out buffer
	cutAfterALine(r, &out, 0)
	file := t.TempDir() + "/count"
	c := Container{Name: "the test's container", Exec: r.start, Remote: true}
	late := Script{Stage: "x", Text: []byte("echo one >>" + file + "; echo begun; sleep 1000"), Reconnect: 200 * time.Millisecond, Request: agent.ExecRequest{Shell: "/bin/sh", Grace: time.Second}}
	k := &keptScript{Script: late, container: c, out: &out}
	k.Request.Nonce, k.Request.Length = "a nonce", len(late.Text)
	connect := func() (agent.Outcome, error) {
		return k.link(time.Time{}).run(t.Context(), true)
	}
	if _, err := connect(); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	r.fails.Store(0)
	if _, err := connect(); err == nil || !strings.Contains(err.Error(), "no driver came back to it within 200ms") {
		t.Error(err)
	}
	if text, _ := os.ReadFile(file); string(text) != "one\n" {
		t.Errorf("%q", text)
	}
}

// A later stage ends one that waits for its driver.
func TestNextStageEndsAnAbandonedOne(t *testing.T) {
	t.Parallel()
	r := &remote{t: t}
	var out buffer
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-cutAfterALine(r, &out, 1)
		cancel()
	}()
	_, err := r.run(ctx, `trap "" TERM; echo $$; while true; do sleep 1; done`, time.Hour, &out)
	if failed, ok := errors.AsType[*ScriptError](err); !ok || !failed.Stopped {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(out.String())
	if _, err := r.run(t.Context(), "kill -0 "+pid+" 2>/dev/null && echo still there; true", time.Hour, &out); err != nil || strings.Contains(out.String(), "still there") {
		t.Error(err, out.String())
	}
	wantEnd(t, pid)
}

// A cancelled script ends also after its connection broke.
func TestCancelAfterABreak(t *testing.T) {
	t.Parallel()
	r := &remote{t: t}
	var out buffer
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-cutAfterALine(r, &out, 0)
		time.Sleep(time.Second)
		cancel()
	}()
	_, err := r.run(ctx, `trap "echo ended; exit 3" TERM; echo $$; while true; do sleep 0.1; done`, time.Minute, &out)
	if failed, ok := errors.AsType[*ScriptError](err); !ok || !failed.Stopped || failed.Code != 3 || !strings.HasSuffix(out.String(), "\nended\n") {
		t.Error(err, out.String())
	}
}

// If the reader of the output is gone, there is nothing to connect for.
func TestReaderIsGone(t *testing.T) {
	t.Parallel()
	r := &remote{t: t}
	began := time.Now()
	_, err := r.run(t.Context(), "echo x; sleep 100", time.Minute, failing{})
	if err == nil || time.Since(began) > 20*time.Second || len(r.all) != 1 {
		t.Error(err, len(r.all))
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Whatever is in the agent's place, it does not fill the driver's memory, and its output does not begin before its answer.
func TestHostileKeptScript(t *testing.T) {
	run := func(p process, reconnect time.Duration) (string, error) {
		var out bytes.Buffer
		c := container(t, p)
		c.Remote = true
		_, err := c.Run(t.Context(), Script{Stage: "build_script", Reconnect: reconnect}, &out)
		return out.String(), err
	}
	flooding := 0
	for name, c := range map[string]struct {
		process process
		out     string
		want    string
	}{
		"not started": {func(in *bufio.Reader, stdout, _ io.Writer) int {
			nonceOf(in)
			fmt.Fprintln(stdout, "OCI runtime exec failed")
			return 127
		}, "", "the script's parent process ended with exit code 127: OCI runtime exec failed"},
		"a line without end": {func(in *bufio.Reader, stdout, _ io.Writer) int {
			nonceOf(in)
			for range 100 {
				_, _ = stdout.Write(bytes.Repeat([]byte("x"), 1<<20))
			}
			return 1
		}, "", "exit code 1: xxx"},
		"another nonce": {func(in *bufio.Reader, stdout, stderr io.Writer) int {
			nonceOf(in)
			fmt.Fprint(stdout, "other\nsome\n")
			fmt.Fprintln(stderr, `{"nonce":"other","code":0}`)
			return 1
		}, "", "exit code 1: other some"},
		"output that never comes": {func(in *bufio.Reader, stdout, stderr io.Writer) int {
			nonce := nonceOf(in)
			fmt.Fprint(stdout, nonce+"\n")
			fmt.Fprintf(stderr, `{"nonce":%q,"code":0,"output":9000000000}`+"\n", nonce)
			return 0
		}, "", "did not come back within"},
		"a negative length": {func(in *bufio.Reader, stdout, stderr io.Writer) int {
			nonce := nonceOf(in)
			fmt.Fprint(stdout, nonce+"\nsome")
			fmt.Fprintf(stderr, `{"nonce":%q,"code":0,"output":-5}`+"\n", nonce)
			return 0
		}, "some", ""},
		"a break over and over": {func(in *bufio.Reader, stdout, _ io.Writer) int {
			nonce := nonceOf(in)
			if flooding++; flooding < 4 {
				fmt.Fprint(stdout, nonce+"\nx")
				return 0
			}
			return 137
		}, "xxx", "was ended by a signal"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(c.process, 300*time.Millisecond)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || out != c.out {
				t.Errorf("%.1000v %q", err, out)
			}
		})
	}
}
