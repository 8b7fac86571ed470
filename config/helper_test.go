package config

import "testing"

func TestHelper(t *testing.T) {
	wantErrors(t, `
[helper]
mode = "container"
image = "registry.example/helper:x86_64-v${CI_RUNNER_VERSION}-$CI_RUNNER_REVISION"
runner_binary = "/usr/local/bin/gitlab-runner"`)
	wantErrors(t, `
[helper]
mode = "Auto"
image = "helper:$CI_JOB_TOKEN x"
pull_policy = []
runner_binary = "gitlab-runner"`,
		`c.toml:3: helper.mode: "Auto" is not possible; write one of "auto", "job", "container"`,
		`c.toml:4: helper.image: "helper:$CI_JOB_TOKEN x" contains the variable CI_JOB_TOKEN; only CI_RUNNER_VERSION and CI_RUNNER_REVISION are possible`,
		`c.toml:4: helper.image: "helper:$CI_JOB_TOKEN x" contains white space; write for example "registry.example.com/gitlab-runner-helper:x86_64-v${CI_RUNNER_VERSION}"`,
		`c.toml:5: helper.pull_policy: the list is empty; write for example ["always"]`,
		`c.toml:6: helper.runner_binary: "gitlab-runner" is not an absolute path; write for example "/usr/bin/gitlab-runner"`)
}
