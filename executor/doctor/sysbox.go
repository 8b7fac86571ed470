package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/executor/proc"
)

// daemon is one of Sysbox's two daemons. Each writes its PID file when it starts and removes it when
// it ends in order, and listens on its socket. Of a killed daemon both files remain (sysbox-fs,
// cmd/sysbox-fs/main.go; sysbox-mgr, main.go and mgr.go; sysbox-ipc, grpcServer.go; v0.7.0).
type daemon struct{ name, pidFile, socket string }

var daemons = []daemon{
	{"sysbox-mgr", "/run/sysbox/sysmgr.pid", "/run/sysbox/sysmgr.sock"},
	{"sysbox-fs", "/run/sysbox/sysfs.pid", "/run/sysbox/sysfs.sock"},
}

// restartSysbox ends what runs in Sysbox's containers.
const restartSysbox = "when no job runs: systemctl restart sysbox; journalctl -u sysbox-mgr -u sysbox-fs says why it ended"

// checkSysbox finds out which Sysbox the runtime is, and whether its daemons live. Without them a
// container hangs or fails when it starts.
func checkSysbox(ctx context.Context, m *Machine) []Finding {
	program := m.runtimeOf(ctx)
	if _, err := m.engineInfo(ctx); err == nil && !m.local() {
		return found(Note, "Sysbox is on the engine's machine, which is not visible from here", "run doctor there, too")
	}
	if program == "" {
		return nil // reported by the check of the runtime
	}
	number := m.SysboxVersion(ctx)
	if number == "" {
		return found(Warning, fmt.Sprintf("%s is not sysbox-runc: its jobs have only the isolation that this runtime gives", program),
			"for real jobs install Sysbox, and set runtime in "+m.ConfigPath+" to its name")
	}
	var all []Finding
	running := []string{}
	for _, d := range daemons {
		pid, fault := m.alive(d)
		if fault != "" {
			all = append(all, Finding{Severity: Error, Text: fault + ": a job's container hangs or fails when it starts", Next: restartSysbox})
			continue
		}
		running = append(running, fmt.Sprintf("%s (process %d)", d.name, pid))
		// That of the running program: an update may have replaced the one on the disk.
		if other := m.versionOf(ctx, fmt.Sprintf("/proc/%d/exe", pid), d.name); other != "" && other != number {
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%s runs in version %s, sysbox-runc is %s: the update is not complete", d.name, other, number),
				Next: "when no job runs: systemctl restart sysbox"})
		}
	}
	for _, h := range known.Hits(map[string]string{known.Sysbox: number}) {
		all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("Sysbox %s is known bad: %s (%s)", number, h.Effect, h.Source), Next: h.Advice})
	}
	if len(all) > 0 {
		return all
	}
	return ok("Sysbox %s; %s run", number, strings.Join(running, " and "))
}

// SysboxVersion is the version of the runtime if it is Sysbox; otherwise empty.
func (m *Machine) SysboxVersion(ctx context.Context) string {
	m.sysboxOnce.Do(func() {
		if program := m.runtimeOf(ctx); program != "" {
			m.sysbox = m.versionOf(ctx, program, "sysbox-runc")
		}
	})
	return m.sysbox
}

// versionOf is the version that one of Sysbox's programs prints; empty if it is another program.
func (m *Machine) versionOf(ctx context.Context, path, name string) string {
	out, err := m.Command(ctx, path, "--version")
	if err != nil || !strings.HasPrefix(string(out), name+"\n") {
		return ""
	}
	return known.Number(string(out))
}

// connectTime limits the wait for a daemon's socket.
const connectTime = 2 * time.Second

// alive returns the daemon's process, or why it does not serve.
func (m *Machine) alive(d daemon) (pid int, fault string) {
	text, err := os.ReadFile(m.path(d.pidFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Sprintf("%s does not run (there is no %s)", d.name, d.pidFile)
	case err != nil:
		return 0, fmt.Sprintf("whether %s runs is not known: %v", d.name, err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || pid <= 0 {
		return 0, fmt.Sprintf("%s does not run (%s has no process)", d.name, d.pidFile)
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Sprintf("whether %s runs is not known: %v", d.name, err)
	}
	// A dead process that nobody has waited for has no program, and an updated one has this suffix.
	if err != nil || filepath.Base(strings.TrimSuffix(program, " (deleted)")) != d.name {
		return 0, fmt.Sprintf("%s has died (%s names process %d, which is gone)", d.name, d.pidFile, pid)
	}
	if s, err := proc.ReadStat(pid); err == nil && (s.State == 'T' || s.State == 't') {
		return 0, fmt.Sprintf("%s (process %d) is stopped by a signal", d.name, pid)
	}
	c, err := net.DialTimeout("unix", m.path(d.socket), connectTime)
	if err != nil {
		return 0, fmt.Sprintf("%s (process %d) does not listen: %v", d.name, pid, err)
	}
	c.Close()
	return pid, ""
}

// atLeast reports whether a version is at least another one; false if it is not known.
func atLeast(number, least string) bool {
	v, err := version.NewVersion(number)
	return err == nil && v.Core().GreaterThanOrEqual(version.Must(version.NewVersion(least)))
}
