package config

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

func TestJob(t *testing.T) {
	wantErrors(t, `
[job]
image = "registry.example:5000/group/image:tag@sha256:abc"
user = "1000:www-data"
builds_dir = "/home/ci/builds"
cache_dir = "/home/ci/builds2"`)
	wantErrors(t, `
[job]
image = "debian 12"
user = "a b"
entrypoint_timeout = "-1s"`,
		`c.toml:3: job.image: "debian 12" contains white space; write for example "debian:12"`,
		`c.toml:4: job.user: "a b" contains white space; write for example "1000:1000"`,
		`c.toml:5: job.entrypoint_timeout: must be greater than zero, for example "10s"`)
}

func TestJobDirs(t *testing.T) {
	tests := []struct{ builds, wrong string }{
		{"builds", `"builds" is not an absolute path; write for example "/builds"`},
		{"", `"" is not an absolute path; write for example "/builds"`},
		{"/", `"/" is the root of the file system; write for example "/builds"`},
		{"//", `"//" is the root of the file system; write for example "/builds"`},
		{"/a/../b/", `"/a/../b/" is not a clean path; write "/b"`},
		{"/a\tb", `"/a\tb" contains a control character; write for example "/builds"`},
		{"/proc", `"/proc" overlaps /proc, which belongs to the kernel; write for example "/builds"`},
		{"/sys/x", `"/sys/x" overlaps /sys, which belongs to the kernel; write for example "/builds"`},
		{"/dev/shm", `"/dev/shm" overlaps /dev, which contains the devices; write for example "/builds"`},
		{"/run/builds", `"/run/builds" overlaps /run, which is hidden when systemd starts; write for example "/builds"`},
		{"/var", `"/var" overlaps /var/run, which is a link to /run; write for example "/builds"`},
		{"/var/lib/containers/b", `"/var/lib/containers/b" overlaps /var/lib/containers, which is the job's storage volume; write for example "/builds"`},
		{"/runner", ""},
		{"/var/lib/containers2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.builds, func(t *testing.T) {
			var want []string
			if tt.wrong != "" {
				want = []string{"c.toml:1: job.builds_dir: " + tt.wrong}
			}
			wantErrors(t, fmt.Sprintf("job.builds_dir = %q", tt.builds), want...)
		})
	}
}

func TestJobDirsStayApart(t *testing.T) {
	const right = ` are one folder or one is inside the other; write for example "/cache" and "/builds"`
	tests := []struct{ builds, cache string }{
		{"/ci", "/ci"}, {"/ci", "/ci/cache"}, {"/ci/builds", "/ci"},
	}
	for _, tt := range tests {
		wantErrors(t, fmt.Sprintf("[job]\nbuilds_dir = %q\ncache_dir = %q", tt.builds, tt.cache),
			fmt.Sprintf("c.toml:3: job.cache_dir: %q and job.builds_dir %q%s", tt.cache, tt.builds, right))
	}
	// Only one of them is in the file.
	wantErrors(t, `job.cache_dir = "/builds"`, `c.toml:1: job.cache_dir: "/builds" and job.builds_dir "/builds"`+right)
	wantErrors(t, `job.builds_dir = "/cache"`, `c.toml:1: job.builds_dir: "/cache" and job.cache_dir "/cache" are one folder or one is inside the other; write for example "/builds" and "/cache"`)
	// One fault, not two.
	wantErrors(t, "job.builds_dir = 5\njob.cache_dir = \"/builds\"",
		"c.toml:1: job.builds_dir: found a whole number; write a string in quotes")
}

func TestAllowedPullPolicies(t *testing.T) {
	wantErrors(t, "[job]\npull_policy = [\"always\", \"never\"]\nallowed_pull_policies = [\"never\"]")
	wantErrors(t, "[job]\nallowed_pull_policies = []")
	wantErrors(t, "[job]\nallowed_pull_policies = [\"sometimes\"]",
		`c.toml:2: job.allowed_pull_policies: "sometimes" is not possible; write one of "always", "if-not-present", "never"`)
	wantErrors(t, "[job]\nallowed_pull_policies = [\"never\"]",
		`c.toml:2: job.allowed_pull_policies: ["never"] has no policy in common with job.pull_policy ["always"], so that no job could get an image; write for example ["always" "never"]`)
}

func TestAllowedImages(t *testing.T) {
	wantErrors(t, `
[job]
allowed_images = ["ruby:*", "my.registry.tld:5000/**", "!**/{a,b}/*", "[a-c]*"]
allowed_services = ["postgres:1?"]`)
	const right = ` is not a pattern of image names; write for example "registry.example/group/**" or "!**/private/*"`
	wantErrors(t, `
[job]
allowed_images = ["", "!", "[a"]
allowed_services = ["a b"]`,
		`c.toml:3: job.allowed_images: "!"`+right, `c.toml:3: job.allowed_images: ""`+right, `c.toml:3: job.allowed_images: "[a"`+right,
		`c.toml:4: job.allowed_services: "a b"`+right)
}

func TestAllowedUsers(t *testing.T) {
	wantErrors(t, "[job]\nuser = \"1000\"\nallowed_users = [\"www-data\", \"1000\"]")
	wantErrors(t, "[job]\nuser = \"1000\"\nallowed_users = [\"www-data\", \"\"]",
		`c.toml:3: job.allowed_users: "" is not a user; write for example "1000:1000"`,
		`c.toml:3: job.allowed_users: job.user "1000" is not in the list, and every job runs as it; add it`)
}

func TestEmulate(t *testing.T) {
	foreign := "arm64"
	if runtime.GOARCH == foreign {
		foreign = "amd64"
	}
	wantErrors(t, "[job]\nemulate = [\""+foreign+"\", \"riscv64\"]\nemulator_dir = \"/opt/qemu\"")
	wantErrors(t, "[job]\nemulate = [\""+runtime.GOARCH+"\", \"riscv64\", \"riscv64\"]\nemulator_dir = \"qemu\"",
		`c.toml:2: job.emulate: "riscv64" is there twice`,
		`c.toml:2: job.emulate: this machine runs programs for `+runtime.GOARCH+` itself; take it out of the list`,
		`c.toml:3: job.emulator_dir: "qemu" is not an absolute path; write for example "/usr/bin"`)
}

func TestNative(t *testing.T) {
	if got := native("amd64"); !slices.Contains(got, "386") || !slices.Contains(got, "amd64") {
		t.Error(got)
	}
	if got := native("arm64"); slices.Contains(got, "arm") {
		t.Error(got)
	}
}
