package owner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestState(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p := Describe(child.Process.Pid)
	if p.State(true) != Alive || Parse(p.String()).State(false) != Alive {
		t.Errorf("%+v: %d", p, p.State(true))
	}
	other := p
	other.Started++ // the PID was reused
	if other.State(false) != Ended {
		t.Errorf("%+v: %d", other, other.State(false))
	}
	for name, tc := range map[string]struct {
		change func(*Process)
		ours   State // if p is from our state folder
	}{
		"another boot":          {func(p *Process) { p.Boot = "other" }, Ended},
		"another machine":       {func(p *Process) { p.Machine = "other" }, Unknown},
		"another pid namespace": {func(p *Process) { p.Space = "1" }, Unknown},
	} {
		moved := p
		tc.change(&moved)
		if got := moved.State(true); got != tc.ours {
			t.Errorf("%s: %d, want %d", name, got, tc.ours)
		}
		// The process may live on a copy of this machine, which has the same machine ID.
		if got := moved.State(false); got != Unknown {
			t.Errorf("%s, not ours: %d", name, got)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if p.State(true) != Ended {
		t.Errorf("%+v: %d", p, p.State(true))
	}
	if Current().State(false) != Alive {
		t.Errorf("owner %+v", Current())
	}
	for range 2 { // before and after String and Parse
		if age, ok := p.Age(); !ok || age < 0 || age > time.Hour {
			t.Errorf("%+v was written down %s ago, %v", p, age, ok)
		}
		p = Parse(p.String())
	}
	if _, ok := (Process{Machine: p.Machine, Boot: "other"}).Age(); ok {
		t.Error("the age of what was written down before the last start is known")
	}
	if p := Parse("nonsense"); p != (Process{}) {
		t.Errorf("%+v", p)
	}
}

func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		programs []string // of the ancestors 10, 11, ..., nearest first; the last one is PID 1
		want     int
	}{
		"the Runner":                   {[]string{"gitlab-runner", "systemd"}, 10},
		"behind a shell":               {[]string{"dash", "gitlab-runner", "systemd"}, 11},
		"the first process":            {[]string{"bash", "gitlab-runner"}, 11},
		"behind a program named alike": {[]string{"gitlab-runner-prepare", "gitlab-runner", "systemd"}, 11},
		"another program":              {[]string{"sh", "timeout", "integration.test", "make", "systemd"}, 11},
		"another as the first process": {[]string{"sh", "runner"}, 11},
		"nothing but shells":           {[]string{"sh", "bash"}, os.Getppid()},
		"nothing at all":               {nil, os.Getppid()},
	} {
		var ancestors []int
		for n := range tc.programs {
			ancestors = append(ancestors, 10+n)
		}
		if got := choose(ancestors, func(pid int) string { return tc.programs[pid-10] }); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// For a script, the program is the shell that runs it, whatever its name is.
func TestCurrentAboveAScript(t *testing.T) {
	if os.Getenv("GSX_TEST_OWNER") != "" {
		fmt.Println("owner", Current().PID)
		return
	}
	path := filepath.Join(t.TempDir(), "gitlab-runner-prepare.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n\"$@\"\nexit $?\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := exec.Command(path, os.Args[0], "-test.run", "^"+t.Name()+"$")
	script.Env = append(os.Environ(), "GSX_TEST_OWNER=1")
	out, err := script.CombinedOutput()
	said := func(pid int) bool { return strings.Contains(string(out), fmt.Sprintf("owner %d\n", pid)) }
	if err != nil || !said(os.Getpid()) && !said(Current().PID) { // the second if a Runner runs this test
		t.Errorf("%v\n%s", err, out)
	}
}
