package plan

import (
	"context"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/proc"
)

// runnerModule is the Go module of gitlab-runner.
const runnerModule = "gitlab.com/gitlab-org/gitlab-runner"

// runnerBinary finds a gitlab-runner program on this machine that runs in any image: the
// configured one, then the Runner that called us, then the one on the PATH. It is empty if
// there is none. Only a configured program that does not work is an error.
func runnerBinary(configured string) (string, error) {
	if configured != "" {
		return configured, runsAnywhere(configured)
	}
	for path := range runners() {
		if runsAnywhere(path) == nil {
			return path, nil
		}
	}
	return "", nil
}

// runners yields the gitlab-runner programs of this machine: those among our ancestors, then
// the one on the PATH.
func runners() iter.Seq[string] {
	return func(yield func(string) bool) {
		for pid := os.Getppid(); pid > 1; pid = proc.Parent(pid) {
			if path := executable(pid); isRunner(path) && !yield(path) {
				return
			}
		}
		if path, err := exec.LookPath(runnerProgram); err == nil {
			if path, err = filepath.Abs(path); err == nil && isRunner(path) {
				yield(path)
			}
		}
	}
}

// versionTime bounds the call of a Runner's program for its version.
const versionTime = 10 * time.Second

// runnerVersion asks the Runner's own program for its version and revision, in the form of
// its variables CI_RUNNER_VERSION and CI_RUNNER_REVISION (common/version.go); nil if there
// is no program.
func runnerVersion() map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), versionTime)
	defer cancel()
	for path := range runners() {
		c := exec.CommandContext(ctx, path, "--version")
		c.Env, c.WaitDelay = []string{"HOME=/"}, time.Second // no variable of the job
		out, err := c.Output()
		if err != nil {
			continue
		}
		found := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(line, ":")
			switch name {
			case "Version":
				found["CI_RUNNER_VERSION"] = strings.TrimSpace(value)
			case "Git revision":
				found["CI_RUNNER_REVISION"] = strings.TrimSpace(value)
			}
		}
		return found
	}
	return nil
}

// executable returns the path of a process's program. If the file was replaced or removed,
// it is the kernel's link, which still opens it.
func executable(pid int) string {
	link := fmt.Sprintf("/proc/%d/exe", pid)
	path, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	ours, err := os.Stat(path)
	if theirs, theirErr := os.Stat(link); err != nil || theirErr != nil || !os.SameFile(ours, theirs) {
		return link
	}
	return path
}

// isRunner recognises a Runner by the build information that Go writes into a program.
func isRunner(path string) bool {
	if path == "" {
		return false
	}
	info, err := buildinfo.ReadFile(path)
	return err == nil && (info.Path == runnerModule || info.Main.Path == runnerModule)
}

// runsAnywhere requires a program that does not depend on the image it runs in.
func runsAnywhere(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a program for Linux: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked to libraries that a job's image may lack; name a static one, as GitLab releases it", path)
		}
	}
	return nil
}
