package config

import (
	"os"
	"slices"
	"strings"
)

// Helper configures the program or container that handles git, caches and artifacts.
type Helper struct {
	// Mode is auto, job or container.
	Mode string `toml:"mode"`
	// Image is the helper container's; "" is GitLab's own for the Runner's version. It may
	// contain the [HelperVariables].
	Image string `toml:"image"`
	// PullPolicy lists the pull policies of that image, as for a job's.
	PullPolicy []string `toml:"pull_policy"`
	// RunnerBinary is an absolute path on the host; with "" the executor searches for it.
	RunnerBinary string `toml:"runner_binary"`
}

// HelperVariables may be used in helper.image, as $NAME or ${NAME}.
var HelperVariables = []string{"CI_RUNNER_VERSION", "CI_RUNNER_REVISION"}

func defaultHelper() Helper {
	// The image of a version never changes.
	return Helper{Mode: "auto", PullPolicy: []string{"if-not-present"}}
}

func (h *Helper) check(k *checker) {
	k.oneOf("helper.mode", h.Mode, []string{"auto", "job", "container"})
	if strings.ContainsFunc(h.Image, blank) {
		k.bad("helper.image", `%q contains white space; write for example "registry.example.com/gitlab-runner-helper:x86_64-v${CI_RUNNER_VERSION}"`, h.Image)
	}
	os.Expand(h.Image, func(name string) string {
		if !slices.Contains(HelperVariables, name) {
			k.bad("helper.image", "%q contains the variable %s; only %s are possible", h.Image, name, strings.Join(HelperVariables, " and "))
		}
		return ""
	})
	k.pullPolicy("helper.pull_policy", h.PullPolicy)
	if h.RunnerBinary != "" {
		k.absolute("helper.runner_binary", h.RunnerBinary, "/usr/bin/gitlab-runner")
	}
}
