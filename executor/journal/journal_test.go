package journal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func begin(t *testing.T, dir string) *Journal {
	t.Helper()
	j, aside, err := Open(dir, "gsx-1")
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	if err := j.Begin(map[string]int{"job": 1}, Process{PID: 1}, "unix:///engine", Resource{Kind: Folder, Name: "/f", Answered: true}); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJournalSurvivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	j := begin(t, dir)
	if err := j.Intend(Resource{Kind: Volume, Name: "v"}, Resource{Kind: Network, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	j.Answered(Volume, "v")
	if err := j.Strike(Network, "n"); err != nil {
		t.Fatal(err)
	}
	c, there, err := Read(dir, "gsx-1")
	if err != nil || !there || len(c.Resources) != 2 || c.Engine != "unix:///engine" {
		t.Fatalf("%+v %v %v", c, there, err)
	}
	if v := c.Resources[1]; v.Name != "v" || !v.Answered || v.At.IsZero() {
		t.Errorf("%+v", v)
	}
	if err := j.Forget(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{
		"torn":           `{"schema": 1, "name": "gsx-1", "res`,
		"empty":          ``,
		"zeroes":         strings.Repeat("\x00", 4096),
		"a later schema": `{"schema": 99, "name": "gsx-1"}`,
		"another job's":  `{"schema": 1, "name": "gsx-2"}`,
		"not an object":  `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(Path(dir, "gsx-1"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, there, err := Read(dir, "gsx-1"); err == nil || !there {
				t.Errorf("read without complaint")
			}
			j, aside, err := Open(dir, "gsx-1")
			if err != nil || aside == "" || len(j.Resources()) != 0 {
				t.Fatal(j, aside, err)
			}
			if kept, err := os.ReadFile(aside); err != nil || string(kept) != text {
				t.Errorf("set aside as %q %v", kept, err)
			}
			if found, _ := Aside(dir); len(found) != 1 || found[0] != aside {
				t.Errorf("found %v", found)
			}
			begin(t, dir)
			if names, _ := Names(dir); len(names) != 1 || names[0] != "gsx-1" {
				t.Errorf("names %v", names)
			}
		})
	}
}

func TestOwnerAndItsEnd(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p := describe(child.Process.Pid)
	if p.State(true) != Alive || ParseProcess(p.String()).State(false) != Alive {
		t.Errorf("%+v: %d", p, p.State(true))
	}
	other := p
	other.Started++ // the number was given again
	if other.State(false) != Ended {
		t.Errorf("%+v: %d", other, other.State(false))
	}
	for name, change := range map[string]func(*Process){
		"another boot":          func(p *Process) { p.Boot = "other" },
		"another machine":       func(p *Process) { p.Machine = "other" },
		"another pid namespace": func(p *Process) { p.Space = "1" },
	} {
		moved := p
		change(&moved)
		want := Unknown
		if name == "another boot" {
			want = Ended
		}
		if got := moved.State(true); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
		// On a copy of this machine, with its number, it may be alive.
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
	if Owner().State(false) != Alive {
		t.Errorf("owner %+v", Owner())
	}
	for range 2 { // as written, and as read again
		if age, ok := p.Age(); !ok || age < 0 || age > time.Hour {
			t.Errorf("%+v was written down %s ago, %v", p, age, ok)
		}
		p = ParseProcess(p.String())
	}
	if _, ok := (Process{Machine: p.Machine, Boot: "other"}).Age(); ok {
		t.Error("the age of what was written down before the last start is known")
	}
	if p := ParseProcess("nonsense"); p != (Process{}) {
		t.Errorf("%+v", p)
	}
}

func TestDriver(t *testing.T) {
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
		if got := driver(ancestors, func(pid int) string { return tc.programs[pid-10] }); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// A script is the shell that runs it, whatever its name is.
func TestOwnerAboveAScript(t *testing.T) {
	if os.Getenv("GSX_TEST_OWNER") != "" {
		fmt.Println("owner", Owner().PID)
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
	if err != nil || !said(os.Getpid()) && !said(Owner().PID) { // the latter below a Runner
		t.Errorf("%v\n%s", err, out)
	}
}
