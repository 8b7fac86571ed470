package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// build makes a program of a module of its own that runs another.
func build(t *testing.T, module, cgo string) string {
	t.Helper()
	return program(t, module, cgo, "package main\n\nimport (\"os\"; \"os/exec\")\n\nfunc main() {\n\tc := exec.Command(os.Args[1], os.Args[2:]...)\n\tc.Stdout, c.Stderr = os.Stdout, os.Stderr\n\tif c.Run() != nil { os.Exit(1) }\n}\n")
}

func program(t *testing.T, module, cgo, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module " + module + "\n\ngo 1.24\n", "main.go": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "program")
	c := exec.Command("go", "build", "-o", program, ".")
	c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestFoundRunner is run again below as a child of a program that stands for the
// Runner.
func TestFoundRunner(t *testing.T) {
	if os.Getenv("FIND_RUNNER") == "" {
		return
	}
	path, err := runnerBinary("")
	t.Logf("found=%s err=%v", path, err)
}

// TestAskedRunner is run again below as a child of a Runner.
func TestAskedRunner(t *testing.T) {
	if os.Getenv("ASK_RUNNER") == "" {
		return
	}
	t.Logf("asked=%q", runnerVersion())
}

// The Runner that called says what its version is, as gitlab-runner --version does.
func TestRunnerVersion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const says = `Version:      19.3.0
Git revision: 98f3339d
Git branch:   19-3-stable
GO version:   go1.26.0
Built:        2026-08-20T08:00:00Z
OS/Arch:      linux/amd64
`
	t.Setenv("ASK_RUNNER", "1")
	t.Setenv("CUSTOM_ENV_SECRET", "s3cret")
	for module, want := range map[string]string{
		runnerModule:        `asked=map["CI_RUNNER_REVISION":"98f3339d" "CI_RUNNER_VERSION":"19.3.0"]`,
		"example.com/other": `asked=map[]`,
	} {
		runner := program(t, module, "0", "package main\n\nimport (\"os\"; \"os/exec\")\n\nfunc main() {\n"+
			"\tif os.Args[1] == \"--version\" && os.Getenv(\"CUSTOM_ENV_SECRET\") == \"\" { os.Stdout.WriteString("+strconv.Quote(says)+"); return }\n"+
			"\tc := exec.Command(os.Args[1], os.Args[2:]...)\n\tc.Stdout = os.Stdout\n\tif c.Run() != nil { os.Exit(1) }\n}\n")
		c := exec.Command(runner, self, "-test.v", "-test.run=^TestAskedRunner$")
		c.Env = append(os.Environ(), "PATH=")
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", module, err, out)
		}
	}
}

func TestRunnerBinaryIsTheCallers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runner, other := build(t, runnerModule, "0"), build(t, "example.com/other", "0")
	found := func(path string, command ...string) string {
		t.Helper()
		c := exec.Command(command[0], append(command[1:], self, "-test.v", "-test.run=^TestFoundRunner$")...)
		c.Env = append(os.Environ(), "FIND_RUNNER=1", "PATH="+path)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "found=")
		path, _, _ = strings.Cut(rest, " err=")
		return path
	}
	if got := found("", runner); got != runner {
		t.Errorf("called by the Runner: %q", got)
	}
	if got := found("", runner, "/bin/sh", "-c", `"$@"; exit $?`, "wrapper"); got != runner {
		t.Errorf("called by a script of the Runner: %q", got)
	}
	if got := found("", other); got != "" {
		t.Errorf("called by another program: %q", got)
	}
	dir := t.TempDir()
	if err := os.Symlink(runner, filepath.Join(dir, "gitlab-runner")); err != nil {
		t.Fatal(err)
	}
	if got := found(dir, other); got != filepath.Join(dir, "gitlab-runner") {
		t.Errorf("on the PATH: %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "gitlab-runner")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "gitlab-runner")); err != nil {
		t.Fatal(err)
	}
	if got := found(dir, other); got != "" {
		t.Errorf("on the PATH, but another program: %q", got)
	}
}

func TestConfiguredRunnerBinary(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, wrong string }{
		"any static program": {build(t, "example.com/other", "0"), ""},
		"missing":            {"/no/such/file", "no such file"},
		"a folder":           {"/", "is not an executable file"},
		"not executable":     {"/etc/passwd", "is not an executable file"},
		"a script":           {script, "is not a program for Linux"},
		"a linked program":   {"/bin/ls", "is linked to libraries"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := runnerBinary(c.path)
			if c.wrong == "" && (err != nil || got != c.path) || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
