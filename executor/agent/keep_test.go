package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The output is read as it was written, however much of it is kept and where.
func TestSpool(t *testing.T) {
	for name, dir := range map[string]string{"with a file": t.TempDir(), "in memory": "", "without the folder": "/nonexistent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpool(dir)
			const size = 50 << 20
			go func() {
				for at := 0; at < size; {
					piece := made(at, min(1+at%100_000, size-at))
					if n, err := s.Write(piece); n != len(piece) || err != nil {
						t.Error(n, err)
					}
					at += len(piece)
				}
			}()
			part, kept := make([]byte, 64<<10), int64(0)
			for at := 0; at < size; {
				n, err := s.next(part, int64(at), func() bool { return false })
				if err != nil || !bytes.Equal(part[:n], made(at, n)) {
					t.Fatalf("%d bytes at %d: %v", n, at, err)
				}
				if at += n; at%7 == 0 || at == size || int64(at)-s.start >= s.size { // a driver confirms from time to time
					kept = max(kept, s.length()-s.start)
					if !s.confirm(int64(at)) {
						t.Fatal("not confirmed")
					}
				}
			}
			if most := int64(keptOnDisk); kept > most || dir == "" && kept > keptInMemory {
				t.Errorf("%d bytes were kept", kept)
			}
			if s.confirm(size+1) || s.confirm(size-1) {
				t.Error("an impossible position was confirmed")
			}
			files, err := os.ReadDir(dir)
			if dir == "" || strings.HasPrefix(dir, "/none") {
				return
			}
			if err != nil || len(files) > 0 {
				t.Errorf("%v %v", files, err)
			}
		})
	}
}

// made are the n bytes of the test's output at a position.
func made(at, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte((at + i) * 31 >> 3)
	}
	return p
}

// A closed spool drops output for which it has no room, and its writer does not wait.
func TestSpoolIsClosed(t *testing.T) {
	s := newSpool("")
	time.AfterFunc(50*time.Millisecond, s.close)
	if n, err := s.Write(make([]byte, keptInMemory+1)); n != keptInMemory+1 || err != nil || s.length() != keptInMemory {
		t.Error(n, err, s.length())
	}
}

// keptScript starts a script that goes on without a driver, and returns its input and its output after the line with the
// nonce.
func keptScript(t *testing.T, script string, o ExecRequest) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, t.Name()) // it knows others by their command line
	cmd.Env = []string{"AGENT_TEST_FACE=exec", "PATH=" + os.Getenv("PATH")}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	o.Length, o.Shell = len(script), "/bin/sh"
	line, _ := json.Marshal(o)
	if _, err := in.Write(append(append(line, '\n'), script...)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if answer, err := lines.ReadString('\n'); err != nil || answer != o.Nonce+"\n" {
		t.Fatal(answer, err)
	}
	return cmd, in, lines
}

// Only a process of the agent's user that knows the nonce can take over a script.
func TestHostileHandOver(t *testing.T) {
	const nonce = "the nonce of TestHostileHandOver"
	_, in, lines := keptScript(t, "echo begun; sleep 1; echo end", ExecRequest{Nonce: nonce, Grace: time.Second, Keep: &Keep{For: time.Minute}})
	if line, err := lines.ReadString('\n'); line != "begun\n" {
		t.Fatal(line, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user  uint32
		said  string
		files []int
	}{
		"another nonce":  {0, "another", []int{0, 1, 2}},
		"no nonce":       {0, "", []int{0, 1, 2}},
		"no descriptors": {0, nonce, nil},
		"another user":   {65534, nonce, []int{0, 1, 2}},
	} {
		text, _ := json.Marshal(handOver{Nonce: c.said})
		cmd := exec.Command(self)
		files, _ := json.Marshal(c.files)
		cmd.Env = []string{"AGENT_TEST_FACE=hand over", "SOCKET=" + stageSocket(nonce), "FILES=" + string(files), "REQUEST=" + string(text)}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.user, Gid: c.user}}
		if strings.Contains(self, "/tmp/go-build") { // others may not enter the folder
			copied := filepath.Join("/tmp", "gsx-agent-test-"+filepath.Base(filepath.Dir(self)))
			if program, err := os.ReadFile(self); err == nil {
				_ = os.WriteFile(copied, program, 0o755)
			}
			defer os.Remove(copied)
			cmd.Path = copied
		}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "refused" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	if line, err := lines.ReadString('\n'); line != "end\n" {
		t.Error(line, err)
	}
	in.Close()
}

// offer hands its streams over, and says what came of it.
func offer() int {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: os.Getenv("SOCKET"), Net: "unix"})
	if err != nil {
		os.Stdout.WriteString(err.Error())
		return 1
	}
	var files []int
	_ = json.Unmarshal([]byte(os.Getenv("FILES")), &files)
	_, _, _ = c.WriteMsgUnix([]byte(os.Getenv("REQUEST")+"\n"), unix.UnixRights(files...), nil)
	var said [1]byte
	switch _, err := io.ReadFull(c, said[:]); {
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		os.Stdout.WriteString("refused")
	default:
		os.Stdout.WriteString("taken")
	}
	return 0
}

// The process ends without a driver if the container is being stopped, however long the script may go on.
func TestKeptScriptEndsWithItsContainer(t *testing.T) {
	cmd, in, lines := keptScript(t, "trap '' TERM; echo begun; sleep 1000", ExecRequest{Nonce: t.Name(), Grace: time.Second, Keep: &Keep{For: time.Hour}})
	if line, err := lines.ReadString('\n'); line != "begun\n" {
		t.Fatal(line, err)
	}
	in.Close()
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || time.Since(began) > 10*time.Second {
		t.Error(err, time.Since(began))
	}
}
