package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the agent, which is a process of its own: it
// becomes a subreaper and waits for every child.
func TestMain(m *testing.M) {
	switch os.Getenv("AGENT_TEST_FACE") {
	case "exec":
		os.Unsetenv("AGENT_TEST_FACE")
		os.Exit(Main([]string{"exec"}))
	case "hand over":
		os.Exit(offer())
	case "":
		os.Exit(m.Run())
	}
}

// A process that goes on as its own child, over and over, is hardly ever the one
// that was listed: it ends with its stage all the same.
func TestExecEndsAProcessThatHops(t *testing.T) {
	dir := t.TempDir()
	// It would end by itself after some 10 s.
	hop := fmt.Sprintf("#!/bin/sh\nif [ $1 = 0 ]; then : >%s/mark; else %s/hop $(($1 - 1)) & fi\n", dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "hop"), []byte(hop), 0o755); err != nil {
		t.Fatal(err)
	}
	r := execScript(t, dir+"/hop 10000 & sleep 0.05", ExecRequest{Grace: 50 * time.Millisecond})
	// The process holds the agent's output open: this waits for its end, too.
	if o := r.outcome(t); o.Error != "" || len(o.Survivors) > 0 {
		t.Errorf("got %+v", o)
	}
	if _, err := os.Stat(filepath.Join(dir, "mark")); err == nil {
		t.Error("it came to its own end")
	}
}

func TestExecSetsTheSoftLimitOfFiles(t *testing.T) {
	r := execScript(t, "ulimit -Sn; ulimit -Hn", ExecRequest{NoFile: 321})
	if o := r.outcome(t); o.Error != "" || o.Code != 0 {
		t.Fatalf("got %+v", o)
	}
	if soft, hard, _ := strings.Cut(r.out.String(), "\n"); soft != "321" || strings.TrimSpace(hard) == "321" {
		t.Errorf("got %q", r.out.String())
	}
}

// agentRun is a running agent with its input open.
type agentRun struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *lockedBuffer
	controls bytes.Buffer
}

func execScript(t *testing.T, script string, request ExecRequest, env ...string) *agentRun {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &agentRun{cmd: exec.Command(self), out: &lockedBuffer{}}
	r.cmd.Env = append([]string{"AGENT_TEST_FACE=exec", "PATH=" + os.Getenv("PATH")}, env...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, &r.controls
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	request.Length, request.Nonce = len(script), "a nonce"
	if request.Shell == "" {
		request.Shell = "/bin/sh"
	}
	line, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Write(append(append(line, '\n'), script...)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *agentRun) outcome(t *testing.T) Outcome {
	t.Helper()
	_ = r.cmd.Wait() // its code is in the outcome
	var o Outcome
	if err := json.Unmarshal(r.controls.Bytes(), &o); err != nil {
		t.Fatalf("%v: %s", err, r.controls.String())
	}
	if o.Nonce != "a nonce" {
		t.Errorf("the outcome lacks the request's nonce: %+v", o)
	}
	if o.Code != r.cmd.ProcessState.ExitCode() {
		t.Errorf("the outcome says %d, the process %d", o.Code, r.cmd.ProcessState.ExitCode())
	}
	return o
}

func TestExecTellsHowTheScriptEnded(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		want         Outcome
		out          string
	}{
		{"success", "echo yes", Outcome{}, "yes\n"},
		{"exit code", "exit 42", Outcome{Code: 42}, ""},
		{"highest exit code", "exit 255", Outcome{Code: 255}, ""},
		{"a signal", "kill -9 $$", Outcome{Code: 137, Signal: "SIGKILL"}, ""},
		{"both streams keep their order", "echo a; echo b >&2; echo c", Outcome{}, "a\nb\nc\n"},
		{"nothing to read", "cat; echo end", Outcome{}, "end\n"},
		{"empty", "", Outcome{}, ""},
		{"no syntax", "if", Outcome{Code: 2}, "*"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := execScript(t, tc.script, ExecRequest{Grace: time.Second})
			o := r.outcome(t)
			if o.Code != tc.want.Code || o.Signal != tc.want.Signal || o.Error != "" || o.Stopped {
				t.Errorf("got %+v, want %+v", o, tc.want)
			}
			if got := r.out.String(); tc.out != "*" && got != tc.out {
				t.Errorf("output %q, want %q", got, tc.out)
			}
		})
	}
}

func TestExecKeepsTheEnvironmentAndGivesAHome(t *testing.T) {
	r := execScript(t, "echo $MARK; echo ${HOME:?}; pwd", ExecRequest{WorkingDir: "/usr", Grace: time.Second}, "MARK=with  blanks")
	r.outcome(t)
	lines := strings.Split(r.out.String(), "\n")
	if lines[0] != "with blanks" || lines[1] == "" || lines[2] != "/usr" {
		t.Errorf("got %q", lines)
	}
}

// pidOf waits for the script to print a process number and returns it.
func (r *agentRun) pid(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if line, _, ok := strings.Cut(r.out.String(), "\n"); ok {
			n, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the script said nothing")
	return 0
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestExecEndsWhatTheScriptStarted(t *testing.T) {
	const daemon = "setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000; sleep 1000' & "
	for _, tc := range []struct {
		name, script string
		end          func(*agentRun) error
		stopped      bool
	}{
		{"when the script ends", daemon + "sleep 1", func(*agentRun) error { return nil }, false},
		{"when the driver asks", daemon + "trap '' TERM; sleep 1000", func(r *agentRun) error { _, err := r.in.Write([]byte{Cancel}); return err }, true},
		{"when the driver is gone", daemon + "trap '' TERM; sleep 1000", func(r *agentRun) error { return r.in.Close() }, true},
		{"when the agent gets a signal", daemon + "sleep 1000", func(r *agentRun) error { return r.cmd.Process.Signal(syscall.SIGTERM) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := execScript(t, tc.script, ExecRequest{Grace: 500 * time.Millisecond})
			pid := r.pid(t)
			if err := tc.end(r); err != nil {
				t.Fatal(err)
			}
			if o := r.outcome(t); o.Stopped != tc.stopped || len(o.Survivors) > 0 {
				t.Errorf("got %+v", o)
			}
			if alive(pid) {
				t.Errorf("process %d is still there", pid)
			}
		})
	}
}

func TestExecRefusesWhatItCannotRun(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request ExecRequest
		fault   bool
		says    string
	}{
		{"no such user", ExecRequest{User: "nobody-of-that-name"}, true, `user "nobody-of-that-name"`},
		{"no such shell", ExecRequest{Shell: "/no/such/shell"}, false, "/no/such/shell"},
		{"no such folder", ExecRequest{WorkingDir: "/no/such/folder"}, false, "/no/such/folder"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := execScript(t, "true", tc.request).outcome(t)
			if o.JobFault != tc.fault || !strings.Contains(o.Error, tc.says) || o.Code == 0 {
				t.Errorf("got %+v", o)
			}
		})
	}
}
