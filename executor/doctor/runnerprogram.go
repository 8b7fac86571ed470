package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gitlab-sysbox-executor/executor/proc"
	"gitlab-sysbox-executor/lazyregexp"
)

// oldestRunner is the first GitLab Runner that passes the job's payload (stages/contract).
const oldestRunner = "14.1.0"

// runnerProgram is the name of GitLab Runner's program.
const runnerProgram = "gitlab-runner"

var runnerVersion = lazyregexp.New(`(?m)^Version:\s*v?(\d+\.\d+\.\d+)`)

// checkProgram looks at the Runner's program and its process.
func (m *Machine) checkProgram(ctx context.Context) (all []Finding) {
	if program := m.findProgram(runnerProgram); program != "" {
		out, err := m.Command(ctx, program, "--version")
		if v := submatch(runnerVersion(), string(out)); err == nil && v != "" && !atLeast(v, oldestRunner) {
			all = append(all, Finding{Severity: Error, Text: fmt.Sprintf("GitLab Runner %s passes no payload to the executor", v), Next: "update GitLab Runner to 14.1 or newer"})
		}
	}
	pids, err := proc.List()
	if err != nil {
		return all
	}
	runs := false
	for _, pid := range pids {
		path := fmt.Sprintf("/proc/%d", pid)
		program, err := os.Readlink(path + "/exe")
		if err != nil || filepath.Base(strings.TrimSuffix(program, " (deleted)")) != runnerProgram {
			continue
		}
		runs = true
		if info, err := os.Stat(path); err == nil && ownerOf(info) != 0 && m.UID == 0 {
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("GitLab Runner (process %d) runs as user %d: its jobs have no storage volumes with a limit", pid, ownerOf(info)),
				Next: "run it as root: gitlab-runner install --user root, or User= in its unit"})
		}
	}
	if !runs {
		all = append(all, Finding{Severity: Warning, Text: "GitLab Runner does not run", Next: "systemctl enable --now gitlab-runner; if it is in another PID namespace, nothing"})
	}
	return all
}

// submatch is the first group of a match; empty if there is none.
func submatch(r *regexp.Regexp, text string) string {
	if found := r.FindStringSubmatch(text); len(found) > 1 {
		return found[1]
	}
	return ""
}
