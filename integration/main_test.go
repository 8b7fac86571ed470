package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/engine"
	"gitlab-sysbox-executor/integration/leftovers"
)

// world is what all tests share.
var world struct {
	repo      string
	dir       string // tests' folders, reachable for a container's remapped root
	binary    string // the product
	runtime   string
	engine    *engine.Engine
	engineDir string
}

func TestMain(m *testing.M) {
	if socket := os.Getenv("GSX_DIAL_STDIO"); socket != "" {
		os.Exit(dialStdio(socket))
	}
	flag.Parse()
	os.Exit(runAll(m))
}

// runAll sets up, runs the tests and compares the machine before and after.
func runAll(m *testing.M) int {
	if os.Geteuid() != 0 {
		return failed(errors.New("these tests start a Docker Engine and its containers: run them as root"))
	}
	stop, err := startEngine()
	if err != nil {
		return failed(err)
	}
	defer stop()
	if err := makeWorld(); err != nil {
		return failed(err)
	}
	defer os.RemoveAll(world.dir)
	before, err := scope().Take(context.Background())
	if err != nil {
		return failed(err)
	}
	code := m.Run()
	after, err := scope().Take(context.Background())
	if err != nil {
		return failed(err)
	}
	if diff := leftovers.Diff(before, after); diff != "" {
		return failed(fmt.Errorf("all tests together left behind:\n%s", diff))
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}

// startEngine starts the private engine, says which runtime stands in, and
// returns what ends the engine, unless it ran before.
func startEngine() (stop func(), err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	world.repo = filepath.Dir(here)
	script := filepath.Join(world.repo, "scripts", "engine.sh")
	place, err := command(30*time.Second, script, "place")
	if err != nil {
		return nil, err
	}
	world.engineDir = strings.TrimSpace(string(place))
	_, notRunning := command(30*time.Second, script, "status", world.engineDir)
	out, err := command(5*time.Minute, script, "start", world.engineDir)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for scanner := bufio.NewScanner(bytes.NewReader(out)); scanner.Scan(); {
		key, value, _ := strings.Cut(scanner.Text(), "=")
		said[key] = value
	}
	world.engine, world.runtime = engine.At(said["ENGINE_HOST"]), said["ENGINE_RUNTIME"]
	if said["ENGINE_HOST"] == "" || world.runtime == "" {
		return nil, fmt.Errorf("%s start printed no host or runtime:\n%s", script, out)
	}
	standIn := ""
	if said["ENGINE_STANDIN"] == "yes" {
		standIn = " (a stand-in: Sysbox is not installed here)"
	}
	fmt.Printf("runtime: %s%s\n", world.runtime, standIn)
	return func() {
		if notRunning != nil {
			if _, err := command(2*time.Minute, script, "stop", world.engineDir); err != nil {
				fmt.Fprintln(os.Stderr, "integration:", err)
			}
		}
	}, nil
}

// makeWorld builds the product and the folder of the tests.
func makeWorld() (err error) {
	if world.dir, err = os.MkdirTemp("/tmp", "gsx-"); err != nil {
		return err
	}
	if err := os.Chmod(world.dir, 0o755); err != nil {
		return err
	}
	world.binary = filepath.Join(world.dir, "gitlab-sysbox-executor")
	args, cgo := []string{"build", "-o", world.binary}, "CGO_ENABLED=0"
	if os.Getenv("GSX_RACE") == "1" {
		// The detector needs cgo; the binary must run in any image all the same.
		args, cgo = append(args, "-race", "-ldflags=-linkmode=external -extldflags=-static"), "CGO_ENABLED=1"
	}
	build := exec.Command("go", append(args, ".")...)
	build.Dir, build.Env = world.repo, append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the product: %w\n%s", err, out)
	}
	return nil
}

// scope is everything that a test may leave behind.
func scope(stateDirs ...string) leftovers.Scope {
	return leftovers.Scope{Engine: world.engine, EngineDir: world.engineDir, StateDirs: stateDirs, Driver: world.binary}
}

// command runs a helper and returns its standard output; its error carries the
// rest.
func command(limit time.Duration, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
