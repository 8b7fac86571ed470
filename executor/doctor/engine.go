package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
)

// The oldest engine that the executor supports, and the newest that its tests run with.
const (
	oldestEngine = "20.10.0"
	newestEngine = 29 // major version
)

func checkEngine(ctx context.Context, m *Machine) []Finding {
	info, err := m.engineInfo(ctx)
	if err != nil {
		return found(Error, err.Error(), m.engineAdvice(err))
	}
	what := fmt.Sprintf("Docker Engine %s, API %s, at %s, storage driver %s", info.Version, info.API, m.Config.Engine.Host, info.StorageDriver)
	v, err := version.NewVersion(info.Version)
	switch {
	case err != nil:
		return found(Note, what+": the version is not known to this program", "the executor is tested with Docker Engine 20.10 to 29")
	case v.Core().LessThan(version.Must(version.NewVersion(oldestEngine))):
		return found(Error, what+": it is too old", "update the engine to 20.10 or newer")
	case v.Segments()[0] > newestEngine:
		return found(Note, what+": it is newer than those that the executor is tested with", "report what does not work; the executor is tested with Docker Engine 20.10 to 29")
	}
	return ok("%s", what)
}

// engineAdvice says what to do if the engine does not answer.
func (m *Machine) engineAdvice(err error) string {
	socket, local := strings.CutPrefix(m.Config.Engine.Host, "unix://")
	if !local {
		return "check engine.host in " + m.ConfigPath + ", and that the engine runs there (docs/engine.md)"
	}
	_, missing := os.Stat(socket)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "run as root, or as a member of the group that owns " + socket
	case errors.Is(missing, fs.ErrNotExist):
		return "install Docker (20.10 to 29) and start it: systemctl enable --now docker; if its socket is not " + socket + ", set engine.host in " + m.ConfigPath
	case errors.Is(err, context.DeadlineExceeded):
		return "the engine is there but does not answer: look into its log (journalctl -u docker), then restart it: systemctl restart docker"
	}
	return "start the engine: systemctl start docker; if it does not start, its log says why: journalctl -u docker"
}

func checkRuntime(ctx context.Context, m *Machine) []Finding {
	info, err := m.engineInfo(ctx)
	if err != nil {
		return nil // reported by the check of the engine
	}
	name := m.Config.Runtime
	if !slices.Contains(info.Runtimes, name) {
		slices.Sort(info.Runtimes)
		text := fmt.Sprintf("the engine has no runtime %q (it has %s)", name, strings.Join(info.Runtimes, ", "))
		if program := m.findProgram("sysbox-runc"); program != "" && m.local() {
			return found(Error, text+", but "+program+" is installed",
				fmt.Sprintf(`add "runtimes": {%q: {"path": %q}} to /etc/docker/daemon.json, then: systemctl reload docker`, name, program))
		}
		return found(Error, text, "install Sysbox (https://github.com/nestybox/sysbox/blob/master/docs/user-guide/install.md); if it is registered under another name, set runtime in "+m.ConfigPath)
	}
	path := info.RuntimePaths[name]
	if !m.local() {
		return ok("%s is registered; its program is on the engine's machine", name)
	}
	if path == "" {
		return ok("%s is registered as a containerd shim", name)
	}
	program, err := m.runtimeProgram(path)
	if err != nil {
		return found(Error, fmt.Sprintf("%s is registered, but its program cannot be started: %v", name, err),
			"install Sysbox again, or correct the path of the runtime in /etc/docker/daemon.json, then: systemctl reload docker")
	}
	return ok("%s is %s", name, program)
}

// runtimeProgram is the file of a runtime's program. The engine's PATH may differ from ours.
func (m *Machine) runtimeProgram(path string) (string, error) {
	if !strings.Contains(path, "/") {
		if program := m.findProgram(path); program != "" {
			return program, nil
		}
		return "", fmt.Errorf("%s is not on the PATH", path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir() || info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s is not an executable file", path)
	}
	return path, nil
}

// findProgram also looks into the folders of administration programs, which a service's PATH may
// lack; empty if there is none.
func (m *Machine) findProgram(name string) string {
	if m.Root == "" {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		path := m.path(filepath.Join(dir, name))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// runtimeOf is the program of the configured runtime; empty if it is not known.
func (m *Machine) runtimeOf(ctx context.Context) string {
	info, err := m.engineInfo(ctx)
	if err != nil || !m.local() || !slices.Contains(info.Runtimes, m.Config.Runtime) {
		return ""
	}
	program, _ := m.runtimeProgram(info.RuntimePaths[m.Config.Runtime])
	return program
}
