package harness

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

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/leftovers"
)

// World is what all tests share.
var World struct {
	Repo      string
	Dir       string // tests' folders, reachable for a container's remapped root
	Binary    string // the product
	Runtime   string
	Engine    *engine.Engine
	Subnets   string // for the networks of jobs
	engineDir string
}

// Main is what each package's TestMain does: it starts the engine, builds the product,
// runs the tests, and compares the whole machine before and after.
func Main(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // it runs no test
	}
	if os.Geteuid() != 0 {
		return failed(errors.New("these tests start a Docker Engine and its containers: run them as root"))
	}
	unlock, err := lockEngine()
	if err != nil {
		return failed(err)
	}
	defer unlock()
	stop, err := startEngine()
	if err != nil {
		return failed(err)
	}
	defer stop()
	if err := makeWorld(); err != nil {
		return failed(err)
	}
	defer os.RemoveAll(World.Dir)
	before, err := Scope().Take(context.Background())
	if err != nil {
		return failed(err)
	}
	code := m.Run()
	after, err := Scope().Take(context.Background())
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

// engineScript is scripts/engine.sh.
func engineScript() string { return filepath.Join(World.Repo, "scripts", "engine.sh") }

// lockEngine finds the folder of the private engine and waits until no other package
// uses the engine: each compares the whole machine, and may stop the engine at its end.
func lockEngine() (unlock func(), err error) {
	here, err := os.Getwd() // the package's folder
	if err != nil {
		return nil, err
	}
	World.Repo = filepath.Dir(filepath.Dir(here))
	place, err := Command(30*time.Second, engineScript(), "place")
	if err != nil {
		return nil, err
	}
	World.engineDir = strings.TrimSpace(string(place))
	if err := os.MkdirAll(World.engineDir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(World.engineDir, "tests.lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { lock.Close() }, nil
}

// startEngine starts the private engine, says which runtime stands in, and
// returns what ends the engine, unless it ran before.
func startEngine() (stop func(), err error) {
	_, notRunning := Command(30*time.Second, engineScript(), "status", World.engineDir)
	out, err := Command(5*time.Minute, engineScript(), "start", World.engineDir)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for scanner := bufio.NewScanner(bytes.NewReader(out)); scanner.Scan(); {
		key, value, _ := strings.Cut(scanner.Text(), "=")
		said[key] = value
	}
	World.Engine, World.Runtime, World.Subnets = engine.At(said["ENGINE_HOST"]), said["ENGINE_RUNTIME"], said["ENGINE_SUBNETS"]
	if said["ENGINE_HOST"] == "" || World.Runtime == "" || World.Subnets == "" {
		return nil, fmt.Errorf("%s start printed no host, runtime or subnets:\n%s", engineScript(), out)
	}
	standIn := ""
	if said["ENGINE_STANDIN"] == "yes" {
		standIn = " (a stand-in: Sysbox is not installed here)"
	}
	fmt.Printf("runtime: %s%s\n", World.Runtime, standIn)
	return func() {
		if notRunning != nil {
			if _, err := Command(2*time.Minute, engineScript(), "stop", World.engineDir); err != nil {
				fmt.Fprintln(os.Stderr, "integration:", err)
			}
		}
	}, nil
}

// makeWorld builds the product and the folder of the tests.
func makeWorld() (err error) {
	if World.Dir, err = os.MkdirTemp("/tmp", "gsx-"); err != nil {
		return err
	}
	if err := os.Chmod(World.Dir, 0o755); err != nil {
		return err
	}
	World.Binary = filepath.Join(World.Dir, "gitlab-sysbox-executor")
	args, cgo := []string{"build", "-tags", "agentprogram", "-o", World.Binary}, "CGO_ENABLED=0"
	if os.Getenv("GSX_RACE") == "1" {
		// The detector needs cgo; the binary must run in any image all the same.
		args, cgo = append(args, "-race", "-ldflags=-linkmode=external -extldflags=-static"), "CGO_ENABLED=1"
	}
	for _, command := range [][]string{{"generate", "./executor/agentprogram"}, append(args, ".")} {
		build := exec.Command("go", command...)
		build.Dir, build.Env = World.Repo, append(os.Environ(), cgo)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the product: %w\n%s", err, out)
		}
	}
	return nil
}
