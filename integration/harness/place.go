package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// Place is one test's own configuration, state folder and Runner.
type Place struct {
	Dir, StateDir string
	Runner        runner.Runner
	jobs          *jobs
}

// Settings are what a test wants of the configuration file.
type Settings struct {
	Host   string // "": the private engine
	Engine string // the lines of [engine], instead of host
	Job    string // further lines of [job]
	Run    string // further lines of [run]
	Other  string // whole sections
	Keep   bool   // builds and cache outlive a job, until the test's end
}

// pulledImage is what is noted of an image that a job pulled.
var pulledImage = regexp.MustCompile(`/pulled/[0-9a-f]{64}$`)

// NewPlace writes the configuration and checks at the test's end that the
// state folder has no file left.
func NewPlace(t testing.TB, s Settings) *Place {
	t.Helper()
	dir, err := os.MkdirTemp(World.Dir, "test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.Host == "" {
		s.Host = World.Engine.Host
	}
	if s.Engine == "" {
		s.Engine = fmt.Sprintf("host = %q", s.Host)
	}
	if !strings.Contains(s.Job, "pull_polic") {
		// The tests' images are made here: Job asks for what is present.
		s.Job += "\nallowed_pull_policies = [\"always\", \"if-not-present\"]"
	}
	if !strings.Contains(s.Other, "\nsubnets = ") {
		// All networks of tests are in one range: engine.sh removes what a killed engine leaves there.
		network := fmt.Sprintf("[network]\nsubnets = [%q]\n", World.Subnets)
		if s.Other = strings.Replace(s.Other, "[network]\n", network, 1); !strings.Contains(s.Other, network) {
			s.Other += "\n" + network
		}
	}
	p := &Place{Dir: dir, StateDir: filepath.Join(dir, "state"), jobs: &jobs{ids: map[int64]bool{}}}
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("runtime = %q\nstate_dir = %q\n\n[engine]\n%s\n\n[job]\n%s\n\n[run]\n%s\n\n[builds]\nkeep = %[6]t\n\n[cache]\nkeep = %[6]t\n\n%[7]s\n",
		World.Runtime, p.StateDir, s.Engine, s.Job, s.Run, s.Keep, s.Other)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.Runner = runner.Runner{
		Driver:   runner.NewDriver(World.Binary, "--config", config),
		TempRoot: dir, RetryPause: 100 * time.Millisecond,
		GracefulKill: 60 * time.Second, ForceKill: 10 * time.Second, FinishWait: 90 * time.Second, StageTimeout: 5 * time.Minute,
		Opened: p.jobs.add,
	}
	t.Cleanup(func() {
		if s.Keep || strings.Contains(s.Other, "\nkeep = \"project\"") {
			p.removeKept(t)
		}
		for _, file := range FilesBelow(t, p.StateDir) {
			if pulledImage.MatchString(file) {
				continue // the image may be there still
			}
			text, _ := os.ReadFile(file) // a journal says what is left, and why
			t.Errorf("left in the state folder: %s %.4000s", file, text)
		}
	})
	return p
}

// Succeed plays a job and wants it to succeed.
func (p *Place) Succeed(t testing.TB, j runner.Job) *runner.Result {
	t.Helper()
	r := p.Runner.Play(j)
	if r.Outcome != runner.Success {
		t.Fatal(r)
	}
	return r
}

// Under is the place's Runner with prepare, run and cleanup behind another
// command, which becomes the driver (execve).
func (p *Place) Under(command ...string) *Place {
	u, d := *p, p.Runner.Driver
	behind := func(prefix, args []string) []string {
		return append(append(append([]string{}, prefix...), d.Path), args...)
	}
	u.Runner.Driver = runner.Driver{
		Path: "env", ConfigArgs: behind(nil, d.ConfigArgs), PrepareArgs: behind(command, d.PrepareArgs),
		RunArgs: behind(command, d.RunArgs), CleanupArgs: behind(command, d.CleanupArgs),
	}
	return &u
}

// Home makes a home folder of the Runner's user with a config.json, and programs
// on its PATH.
func (p *Place) Home(t testing.TB, config string, programs map[string]string) (dir string) {
	t.Helper()
	dir = filepath.Join(p.Dir, "home")
	bin := filepath.Join(p.Dir, "bin")
	for _, d := range []string{filepath.Join(dir, ".docker"), bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, ".docker", "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.Runner.Env = append(p.Runner.Env, "HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
	return dir
}
