package commands

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// screen is what a person sees, and types into.
type screen struct {
	*os.File
	command *exec.Cmd
	mu      sync.Mutex
	text    bytes.Buffer
}

// sit starts enter at a terminal of a person.
func sit(t *testing.T, p *harness.Place, s *runner.Session) *screen {
	t.Helper()
	c := exec.Command(harness.World.Binary, append(append([]string{"enter"}, p.Runner.Driver.ConfigArgs[1:]...), fmt.Sprint(s.Job.ID))...)
	c.Env = append(os.Environ(), "TERM=xterm")
	file, err := pty.StartWithSize(c, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	v := &screen{File: file, command: c}
	t.Cleanup(func() { file.Close(); c.Process.Kill(); c.Wait() })
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := file.Read(part)
			v.mu.Lock()
			v.text.Write(part[:n])
			v.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return v
}

// says waits until the terminal shows a text.
func (v *screen) says(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		v.mu.Lock()
		shown := v.text.String()
		v.mu.Unlock()
		if strings.Contains(shown, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", text, shown)
		}
	}
}

func (v *screen) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(v, text); err != nil {
		t.Fatal(err)
	}
}

// processes are those of the job's container whose command line has a text.
func processes(t *testing.T, p *harness.Place, s *runner.Session, text string) bool {
	t.Helper()
	call := s.RunScript(t.Context(), runner.StageAfter, "#!/usr/bin/env bash\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '"+text+"' && echo found || echo none\n")
	if call.Err != nil {
		t.Fatal(call)
	}
	return call.Output.Has("found")
}

// A person enters a job, as its user and with its variables, at a terminal of any size. Nothing stays when the
// terminal goes away. The job goes on.
func TestEnterAtATerminal(t *testing.T) {
	t.Parallel()
	for _, image := range []string{"bookworm", "systemd"} {
		t.Run(image, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.With(harness.Job(t, image, "true"), runner.Var("GREETING", "hello you"))
			j.Image.User = "1000:1000"
			if image == "systemd" {
				j.Image.User = ""
			}
			s := p.Ready(t, j)
			v := sit(t, p, s)
			v.types(t, "stty size; echo \"[$GREETING]\" $(id -u) $TERM; tty\n")
			v.says(t, "33 111")
			v.says(t, "[hello you] "+map[string]string{"bookworm": "1000", "systemd": "0"}[image]+" xterm")
			v.says(t, "/dev/pts/")
			if err := pty.Setsize(v.File, &pty.Winsize{Rows: 22, Cols: 99}); err != nil {
				t.Fatal(err)
			}
			v.types(t, "until [ \"$(stty size)\" = '22 99' ]; do sleep 0.1; done; echo re''sized\n")
			v.says(t, "resized")
			v.types(t, "echo go''ing; sleep 1000\n")
			v.says(t, "going")
			v.types(t, "\x03") // the terminal is raw: ^C is for the job
			v.says(t, "^C")
			v.types(t, "echo inter''rupted\n") // the terminal drops what was typed before ^C, and up to its effect
			v.says(t, "interrupted")
			v.types(t, "sleep 1234 & exit 42\n")
			err := v.command.Wait()
			if code := v.command.ProcessState.ExitCode(); code != 42 {
				t.Errorf("exit code %d (%v)", code, err)
			}
			if processes(t, p, s, "sleep 123[4]") {
				t.Error("a process of the shell is left")
			}

			v = sit(t, p, s)
			v.types(t, "(trap '' HUP TERM; echo on''ce; sleep 4321)\n")
			v.says(t, "once")
			if err := v.command.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			v.command.Wait()
			for deadline := time.Now().Add(time.Minute); processes(t, p, s, "sleep 432[1]"); time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("a process is left when the terminal is gone")
				}
			}
			if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil {
				t.Error(call)
			}
		})
	}
}
