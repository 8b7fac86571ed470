package images

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// What the administrator does not allow, and names that are
// none, are refused in one line, once, with nothing made.
func TestRowAllowedImagesRefused(t *testing.T) {
	t.Parallel()
	const onlyRuby = `image = "gsx-test/bookworm:latest"
allowed_images = ["ruby:*", "!ruby:2*"]
allowed_services = ["postgres:*"]
allowed_users = ["1000"]
pull_policy = ["always"]`
	const allNever = `allowed_pull_policies = ["always", "never"]`
	for _, tt := range []struct {
		name, job, says string
		change          func(*runner.Job)
	}{
		{"image", onlyRuby, `The "debian:12" image is not present on list of allowed images: the administrator of this runner allows ruby:*, !ruby:2* (job.allowed_images)`,
			func(j *runner.Job) { j.Image = runner.Image{Name: "debian:12"} }},
		{"forbidden image", onlyRuby, `The "docker.io/library/ruby:2.7" image is not present on list of allowed images`,
			func(j *runner.Job) { j.Image = runner.Image{Name: "docker.io/library/ruby:2.7"} }},
		{"service", onlyRuby, `The "gsx-test/bookworm:latest" image is not present on list of allowed services`,
			func(j *runner.Job) {
				j.Image = runner.Image{}
				j.Services = []runner.Image{{Name: "gsx-test/bookworm:latest"}}
			}},
		{"user", onlyRuby, `user "root" is not an allowed user: [1000] (job.allowed_users)`,
			func(j *runner.Job) { j.Image = runner.Image{User: "root"} }},
		{"pull policy", onlyRuby, `pull_policy ([if-not-present never]) defined in GitLab pipeline config is not one of the allowed_pull_policies ([always])`,
			func(j *runner.Job) { j.Image = runner.Image{PullPolicies: []string{"if-not-present", "never"}} }},
		{"never, and not here", allNever, `image "gsx-test/nobody-has-this:1" is not on this machine and the pull policy is "never"`,
			func(j *runner.Job) {
				j.Image = runner.Image{Name: "gsx-test/nobody-has-this:1", PullPolicies: []string{"never"}}
			}},
		{"an ID that is not here", "allow_image_ids = true", "an image given by its ID cannot be pulled",
			func(j *runner.Job) { j.Image = runner.Image{Name: "sha256:" + strings.Repeat("0", 64)} }},
		{"another platform", allNever, `on this machine for the platform linux/`,
			func(j *runner.Job) { j.Image.Platform, j.Image.PullPolicies = "riscv64", []string{"never"} }},
		{"line break", "", `image "debian\nprivileged": invalid reference format`,
			func(j *runner.Job) { j.Image.Name = "debian\nprivileged" }},
		{"shell text", "", `image "debian;reboot": invalid reference format`,
			func(j *runner.Job) { j.Image.Name = `debian;reboot` }},
		{"path", "", `image "../../etc/passwd": invalid reference format`,
			func(j *runner.Job) { j.Image.Name = "../../etc/passwd" }},
		{"100 kB", "", `aaa"... (100000 bytes): it is too long; write for example`,
			func(j *runner.Job) { j.Image.Name = strings.Repeat("a", 100_000) }},
		{"no platform", "", `platform "linux/../x" is not valid`,
			func(j *runner.Job) { j.Image.Platform = "linux/../x" }},
		{"no user", "", `user "a\nb" is not valid`,
			func(j *runner.Job) { j.Image.User = "a\nb" }},
		{"no policy", "", `pull_policy "sometimes" is none of always, if-not-present, never`,
			func(j *runner.Job) { j.Image.PullPolicies = []string{"sometimes"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := harness.Job(t, "bookworm", "true")
			tt.change(&j)
			if tt.job != "" && len(j.Image.PullPolicies) == 1 && j.Image.PullPolicies[0] == "if-not-present" {
				j.Image.PullPolicies = nil
			}
			p := harness.NewPlace(t, harness.Settings{Job: tt.job})
			log := harness.WantRefusedOnce(t, p, j, tt.says)
			for line := range strings.Lines(log) {
				if len(line) > 2000 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
		})
	}
}

// What is allowed runs: the default image, an image by its ID, a job's user as a
// number, a policy among several.
func TestRowAllowedImages(t *testing.T) {
	t.Parallel()
	id, err := harness.World.Engine.ImageID(t.Context(), harness.Image(t, "bookworm"))
	if err != nil {
		t.Fatal(err)
	}
	p := harness.NewPlace(t, harness.Settings{Job: `image = "gsx-test/bookworm:latest"
allow_image_ids = true
allowed_images = ["sha256:*"]
allowed_users = ["65534"]
pull_policy = ["always", "if-not-present"]
allowed_pull_policies = ["if-not-present"]`})
	for name, c := range map[string]struct {
		image  string
		policy bool // it has one: an ID cannot be pulled
	}{
		"default":         {"", true},
		"default by name": {"gsx-test/bookworm:latest", true},
		"by ID":           {id, false},
	} {
		t.Run(name, func(t *testing.T) {
			j := harness.Job(t, "bookworm", "echo user $(id -u)")
			j.Image = runner.Image{Name: c.image, User: "65534"}
			r := p.Succeed(t, j)
			harness.WantLines(t, r, "user 65534")
			if r.Log.Has("Using effective pull policy of [if-not-present] for container gsx-test/bookworm:latest") != c.policy {
				t.Error(r)
			}
			if strings.Contains(r.Log.String(), "Pulling") {
				t.Errorf("something was pulled: %s", r)
			}
		})
	}
}
