package plan

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/lazyregexp"
	"gitlab-sysbox-executor/stages/contract"
)

// runnerProgram is the name by which the Runner's scripts call it.
const runnerProgram = "gitlab-runner"

// helper decides how git, caches and artifacts are handled. A configured binary that does
// not work is a fault of the system.
func helper(c *contract.Call, cfg *config.Config) (job.Helper, error) {
	h := job.Helper{Mode: job.HelperMode(cfg.Helper.Mode), ToolName: runnerProgram}
	switch c.Variables["GIT_STRATEGY"] {
	case "none", "empty":
	default:
		h.NeedsGit = true
	}
	h.NeedsTool = len(c.Job.Cache)+len(c.Job.Artifacts)+len(c.Job.Dependencies) > 0
	var err error
	// The default image may be unreachable from this machine.
	h.Optional = h.Mode == job.HelperAuto && cfg.Helper.Image == ""
	if h.Image, err = (imageRules{c, cfg}).forHelper(helperImage(c, cfg.Helper.Image, runnerVersion)); err != nil {
		return h, err
	}
	if h.NeedsTool && cfg.Backend == config.BackendDocker { // a pod gets no program of this machine
		if h.Tool, err = runnerBinary(cfg.Helper.RunnerBinary); err != nil {
			return h, fmt.Errorf("helper.runner_binary: %w", err)
		}
	}
	return h, nil
}

// version3 matches the start of a Runner's version.
var version3 = lazyregexp.New(`^[0-9]+\.[0-9]+\.[0-9]+`)

// helperImage returns the configured image, or GitLab's own for the Runner's version. The
// names are those of helpers/container/helperimage in the Runner's source. ask returns the
// version that the Runner itself reports.
func helperImage(c *contract.Call, configured string, ask func() map[string]string) string {
	ask = sync.OnceValue(ask)
	value := func(name string) string {
		// The Runner adds this variable itself. A variable in the payload is the job author's.
		if values, fetched := c.Job.Given(name); len(values) > 0 || fetched {
			return ask()[name]
		}
		return c.Variables[name]
	}
	if configured != "" {
		return os.Expand(configured, func(name string) string { return tagPart(value(name)) })
	}
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x86_64"
	}
	tag := "latest"
	if v := version3().FindString(value("CI_RUNNER_VERSION")); v != "" {
		tag = "v" + v
	}
	return "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:" + arch + "-" + tag
}

// tagPart removes characters that a tag cannot contain, so that a variable cannot select another
// image.
func tagPart(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("._-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, text)
}
