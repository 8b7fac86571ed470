package agentsocket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/owner"
)

// firstKey is the variable that makes this test's program the first process of a "container".
const firstKey = "GSX_TEST_FIRST_PROCESS"

func TestMain(m *testing.M) {
	first, ok := map[string]func() error{
		"agent":   func() error { return agent.Init("{}") },
		"silent":  func() error { return answering(func(*net.UnixConn, io.Writer) {}) },
		"closing": func() error { return answering(func(c *net.UnixConn, _ io.Writer) { c.Close() }) },
		"flood": func() error {
			return answering(func(_ *net.UnixConn, responses io.Writer) {
				for {
					if _, err := responses.Write(bytes.Repeat([]byte("{"), 100_000)); err != nil {
						return
					}
				}
			})
		},
		"liar": func() error {
			return answering(func(_ *net.UnixConn, responses io.Writer) { _, _ = io.WriteString(responses, "{}\n{\"code\":0}\n") })
		},
		"refusing": func() error {
			return answering(func(_ *net.UnixConn, responses io.Writer) {
				_, _ = io.WriteString(responses, "{\"error\":\"no\\nmemory\"}\n")
			})
		},
		"lingering": func() error { return answering(linger) },
		// Another process than the first listens.
		"usurped": func() error {
			c := exec.Command("/proc/self/exe")
			c.Env = []string{firstKey + "=liar"}
			return c.Run()
		},
		"client": client,
		"large":  large,
		"deaf":   func() error { time.Sleep(time.Hour); return nil },
	}[os.Getenv(firstKey)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := first(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answering listens in place of the agent.
func answering(answer func(c *net.UnixConn, responses io.Writer)) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: agent.StartSocket, Net: "unix"})
	if err != nil {
		return err
	}
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		rights := make([]byte, unix.CmsgSpace(4*4))
		_, n, _, _, err := c.ReadMsgUnix(make([]byte, 4096), rights)
		if err != nil || n == 0 {
			continue // the test looks whether somebody listens
		}
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		if err != nil {
			return err
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return err
		}
		go answer(c, os.NewFile(uintptr(fds[3]), "responses"))
	}
}

// linger sends a TCP connection whose last close waits for a minute.
func linger(c *net.UnixConn, responses io.Writer) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	t, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return
	}
	_ = t.(*net.TCPConn).SetLinger(60)
	_ = t.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		if _, err := t.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	file, err := t.(*net.TCPConn).File()
	if err != nil {
		return
	}
	_, _, _ = c.WriteMsgUnix([]byte("{}\n"), unix.UnixRights(int(file.Fd())), nil)
	// Nobody else has the connection then.
	file.Close()
	t.Close()
	time.Sleep(time.Minute)
	runtime.KeepAlive(l)
	runtime.KeepAlive(responses)
}

// first starts this program as the first process of new namespaces.
func first(t *testing.T, kind string) owner.Process {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make namespaces")
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), firstKey+"="+kind)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()         // killed
	})
	p := owner.Describe(c.Process.Pid)
	for deadline := time.Now().Add(time.Minute); kind != "deaf"; time.Sleep(10 * time.Millisecond) {
		if c, err := dial(t.Context(), p); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return p
}

func started(t *testing.T, of owner.Process, command ...string) *Process {
	t.Helper()
	p, err := Start(t.Context(), of, command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestProcess(t *testing.T) {
	t.Parallel()
	agent := first(t, "agent")
	p := started(t, agent, "/bin/sh", "-c", "cat; echo error >&2; echo said >/dev/stdout; exit 7")
	if _, err := io.WriteString(p, "asked\n"); err != nil {
		t.Fatal(err)
	}
	p.stdin.Close()
	var out, failures strings.Builder
	if err := p.Copy(&out, &failures); err != nil || out.String() != "asked\nsaid\n" || failures.String() != "error\n" {
		t.Errorf("%v, %q, %q", err, out.String(), failures.String())
	}
	if ended, code, err := p.Ended(t.Context()); !ended || code != 7 || err != nil {
		t.Error(ended, code, err)
	}
	// By a signal.
	p = started(t, agent, "/bin/sh", "-c", "kill -9 $$")
	if ended, code, err := p.Ended(t.Context()); !ended || code != 137 || err != nil {
		t.Error(ended, code, err)
	}
	if _, err := Start(t.Context(), agent, []string{"/nowhere"}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

// A program leads a session of its own, and its output is blocking: few programs expect EAGAIN.
func TestStreams(t *testing.T) {
	t.Parallel()
	const script = `grep flags /proc/self/fdinfo/1; grep flags /proc/self/fdinfo/2; pwd
		read -r pid _ _ _ _ session _ </proc/self/stat; [ $pid = $session ] && echo leads`
	p := started(t, first(t, "agent"), "/bin/sh", "-c", script)
	var out strings.Builder
	if err := p.Copy(&out, t.Output()); err != nil || out.String() != "flags:\t01\nflags:\t01\n/\nleads\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// The end of the driver is the end of the input.
func TestCloseEndsTheInput(t *testing.T) {
	t.Parallel()
	agent := first(t, "agent")
	file := t.TempDir() + "/ended"
	p := started(t, agent, "/bin/sh", "-c", "cat; echo >"+file)
	copied := make(chan error)
	go func() { copied <- p.Copy(io.Discard, io.Discard) }()
	time.Sleep(50 * time.Millisecond) // most often it reads by now
	p.Close()
	p.Close()
	if err := <-copied; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestCopyStopsIfAWriterFails(t *testing.T) {
	t.Parallel()
	p := started(t, first(t, "agent"), "/bin/sh", "-c", "echo; exec sleep 1000")
	if err := p.Copy(failing{}, io.Discard); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

// slow is a reader that takes longer for each piece than the end of the process allows.
type slow struct{ text bytes.Buffer }

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(drainTime + 100*time.Millisecond)
	return s.text.Write(b)
}

// A process that stays behind does not keep the output open, and a slow reader still gets all that was written.
func TestOutputAfterTheEnd(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := started(t, first(t, "agent"), "/bin/sh", "-c", "sleep 1000 & "+firstKey+"=large exec "+exe)
	var out slow
	if err := p.Copy(&out, io.Discard); err != nil || out.text.Len() != mostInPipe {
		t.Errorf("%v after %d bytes", err, out.text.Len())
	}
}

// mostInPipe is what unprivileged processes can make a pipe hold (fs.pipe-max-size, pipe(7)).
const mostInPipe = 1 << 20

// large writes as much as a pipe can have.
func large() error {
	if _, err := unix.FcntlInt(1, unix.F_SETPIPE_SZ, mostInPipe); err != nil {
		return err
	}
	_, err := os.Stdout.Write(make([]byte, mostInPipe))
	return err
}

func TestEndOfTheFirstProcess(t *testing.T) {
	t.Parallel()
	agent := first(t, "agent")
	p := started(t, agent, "/bin/sh", "-c", "exec sleep 1000")
	if err := syscall.Kill(agent.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Copy(io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Ended(t.Context()); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := Start(t.Context(), agent, []string{"/bin/true"}); err == nil {
		t.Error("a process was started in a container that is gone")
	}
}

// Whatever listens in the agent's place, the answer comes in time.
func TestHostileFirstProcess(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"silent":    "does not answer",
		"flood":     "does not answer",
		"closing":   "does not answer",
		"lingering": "does not answer",
		"refusing":  `"no\nmemory"`,
		"usurped":   "in place of the container's first process",
		"deaf":      "refused",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if _, err := Start(t.Context(), first(t, kind), []string{"/bin/true"}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if took := time.Since(began); took > 3*startTime {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Run("liar", func(t *testing.T) {
		t.Parallel()
		p := started(t, first(t, "liar"), "/bin/true")
		if err := p.Copy(io.Discard, io.Discard); err != nil {
			t.Error(err)
		}
	})
}

func TestStartStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Start(ctx, first(t, "silent"), []string{"/bin/true"}); err == nil || time.Since(began) > startTime {
		t.Error(err, time.Since(began))
	}
}

// Another process has the PID by now.
func TestAnotherProcessWithThePID(t *testing.T) {
	t.Parallel()
	agent := first(t, "agent")
	started(t, agent, "/bin/true")
	agent.Started++
	if _, err := Start(t.Context(), agent, []string{"/bin/true"}); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Error(err)
	}
}

// A process in the container gets nothing started: it would be root.
func TestStartFromInside(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := started(t, first(t, "agent"), "/usr/bin/env", firstKey+"=client", exe)
	var out strings.Builder
	if err := p.Copy(&out, t.Output()); err != nil || out.String() != "EOF" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// client asks as a process of the container.
func client() error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: agent.StartSocket, Net: "unix"})
	if err != nil {
		return err
	}
	request, err := json.Marshal(agent.StartRequest{Command: []string{"/bin/echo", "ran"}})
	if err != nil {
		return err
	}
	// The agent may have closed the connection by now.
	_, _, _ = c.WriteMsgUnix(append(request, '\n'), unix.UnixRights(0, 1, 2, 2), nil)
	_, err = c.Read(make([]byte, 100))
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF // it has not read the request
	}
	fmt.Print(err)
	return nil
}
