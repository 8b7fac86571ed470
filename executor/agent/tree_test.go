package agent

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// start runs a shell script, in a session of its own, that has said "up".
func start(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	c := exec.Command("sh", "-c", script)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		done <- err
		_ = c.Wait()
	}()
	t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTreeEndsEveryProcess(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		killed       bool // TERM is not enough
	}{
		{"one child", "sleep 100 & echo up; wait", false},
		{"grandchildren", "sh -c 'sleep 100 & sleep 100 & echo up; wait'", false},
		{"deaf to TERM", "trap '' TERM; sleep 100 & echo up; wait", true},
		{"stopped", "sleep 100 & kill -STOP $!; echo up; wait", false},
		{"child in a session of its own", "setsid sleep 100 & echo up; wait", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t, tc.script)
			below := tree{c.Process.Pid}
			if len(below.pids()) == 0 {
				t.Fatal("there is nothing to end")
			}
			grace := time.Minute
			if tc.killed {
				grace = time.Second
			}
			began := time.Now()
			if left, _ := below.end(grace); len(left) > 0 {
				t.Fatalf("left: %v", left)
			}
			if left := below.pids(); len(left) > 0 {
				t.Fatalf("still there: %v", left)
			}
			if waited := time.Since(began) >= grace; waited != tc.killed {
				t.Errorf("the whole grace was given: %v, want %v", waited, tc.killed)
			}
		})
	}
}

func TestTreeLeavesOthersAlone(t *testing.T) {
	other := start(t, "sleep 100 & echo up; wait")
	mine := start(t, "sleep 100 & echo up; wait")
	tree{mine.Process.Pid}.end(time.Second)
	if n := len((tree{other.Process.Pid}).pids()); n != 1 {
		t.Errorf("the other tree has %d processes, want 1", n)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error(err)
	}
	if len((tree{os.Getpid()}).pids()) == 0 {
		t.Error("a tree does not see its own grandchildren")
	}
}
