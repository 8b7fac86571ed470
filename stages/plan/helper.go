package plan

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// runnerProgram is the name under which the Runner's scripts call it.
const runnerProgram = "gitlab-runner"

// helper says how the work with git, caches and artifacts is to be done. A
// binary that is configured and does not serve is a fault of the system's.
func helper(c *contract.Call, cfg *config.Config) (job.Helper, error) {
	h := job.Helper{Mode: job.HelperMode(cfg.Helper.Mode), ToolName: runnerProgram}
	switch c.Variables["GIT_STRATEGY"] {
	case "none", "empty":
	default:
		h.NeedsGit = true
	}
	h.NeedsTool = len(c.Job.Cache)+len(c.Job.Artifacts)+len(c.Job.Dependencies) > 0
	var err error
	// An image that nobody chose may be out of this machine's reach.
	h.Optional = h.Mode == job.HelperAuto && cfg.Helper.Image == ""
	if h.Image, err = (imageRules{c, cfg}).forHelper(helperImage(c, cfg.Helper.Image, runnerVersion)); err != nil {
		return h, err
	}
	if h.NeedsTool {
		if h.Tool, err = runnerBinary(cfg.Helper.RunnerBinary); err != nil {
			return h, fmt.Errorf("helper.runner_binary: %w", err)
		}
	}
	return h, nil
}

// version3 is what a Runner's version looks like at its beginning.
var version3 = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+`)

// helperImage is the configured one, or that which GitLab makes for the Runner's
// version: the names are those of helpers/container/helperimage in the Runner's
// source. Ask is for the Runner's own word on its version.
func helperImage(c *contract.Call, configured string, ask func() map[string]string) string {
	ask = sync.OnceValue(ask)
	value := func(name string) string {
		// The Runner adds the variable itself. One in the payload is the job author's.
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
	if v := version3.FindString(value("CI_RUNNER_VERSION")); v != "" {
		tag = "v" + v
	}
	return "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:" + arch + "-" + tag
}

// tagPart is text without what a tag cannot hold: whatever a variable holds, it does
// not choose another image.
func tagPart(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("._-", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, text)
}
