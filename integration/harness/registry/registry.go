// Package registry is the other end of a pull: a real registry on loopback with
// a password, and a way to it that can be cut.
package registry

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// The one user that a registry of ours knows.
const (
	User     = "ci-user"
	Password = "s3cret-0f-the-registry"
)

// Registry is a running server.
type Registry struct {
	Address string // 127.0.0.1:port
	Binary  string // the static server, for who wants one of its own
	command *exec.Cmd
	stdin   io.Closer
}

// Start builds the server from its module in repo and starts it with its files
// in dir. It ends with this process.
func Start(repo, dir string) (*Registry, error) {
	binary := filepath.Join(dir, "registry")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join(repo, "integration", "harness", "registry", "server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the registry: %w\n%s", err, out)
	}
	c := exec.Command(binary, "-dir", dir, "-user", User, "-password", Password)
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the registry did not start"), err, c.Wait())
	}
	return &Registry{Address: strings.TrimSpace(line), Binary: binary, command: c, stdin: stdin}, nil
}
