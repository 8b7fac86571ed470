package config

import (
	"os"
	"slices"
	"strings"
)

// Helper is what does the work with git, caches and artifacts.
type Helper struct {
	// Mode is auto, job or container.
	Mode string `toml:"mode"`
	// Image is the helper container's; "" is GitLab's own for the Runner's
	// version. The names of [HelperVariables] are possible in it.
	Image string `toml:"image"`
	// PullPolicy lists when that image is pulled, as for a job's.
	PullPolicy []string `toml:"pull_policy"`
	// RunnerBinary is an absolute path on the host; "" has it looked for.
	RunnerBinary string `toml:"runner_binary"`
}

// HelperVariables are those that helper.image may hold, as $NAME or ${NAME}.
var HelperVariables = []string{"CI_RUNNER_VERSION", "CI_RUNNER_REVISION"}

func defaultHelper() Helper {
	// The image of a version never changes.
	return Helper{Mode: "auto", PullPolicy: []string{"if-not-present"}}
}

func (h *Helper) check(k *checker) {
	k.oneOf("helper.mode", h.Mode, []string{"auto", "job", "container"})
	if strings.ContainsFunc(h.Image, blank) {
		k.bad("helper.image", `%q has white space in it; write for example "registry.example.com/gitlab-runner-helper:x86_64-v${CI_RUNNER_VERSION}"`, h.Image)
	}
	os.Expand(h.Image, func(name string) string {
		if !slices.Contains(HelperVariables, name) {
			k.bad("helper.image", "%q holds the variable %s; only %s are possible", h.Image, name, strings.Join(HelperVariables, " and "))
		}
		return ""
	})
	k.pullPolicy("helper.pull_policy", h.PullPolicy)
	if h.RunnerBinary != "" {
		k.absolute("helper.runner_binary", h.RunnerBinary, "/usr/bin/gitlab-runner")
	}
}
