package config

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Job has the settings of every job container.
type Job struct {
	// Image is for jobs that name none; with "" such a job fails.
	Image string `toml:"image"`
	// PullPolicy lists pull policies in the order in which they are tried: always,
	// if-not-present, never. A job may choose others.
	PullPolicy []string `toml:"pull_policy"`
	// AllowedPullPolicies are those that a job may choose; empty: those of PullPolicy.
	AllowedPullPolicies []string `toml:"allowed_pull_policies"`
	// AllowedImages and AllowedServices are doublestar patterns of image names; a pattern
	// that begins with "!" forbids. Empty: all.
	AllowedImages   []string `toml:"allowed_images"`
	AllowedServices []string `toml:"allowed_services"`
	// AllowImageIDs lets jobs name images of this machine by their ID. If there are patterns,
	// the ID has to match one of them, too.
	AllowImageIDs bool `toml:"allow_image_ids"`
	// CredentialHelpers lets a job's DOCKER_AUTH_CONFIG name credential helpers:
	// programs of this machine.
	CredentialHelpers bool `toml:"credential_helpers"`
	// User is docker's user[:group], by name or number; unless "" it overrides the job's own.
	User string `toml:"user"`
	// AllowedUsers are those that a job may choose; empty: any.
	AllowedUsers []string `toml:"allowed_users"`
	// BuildsDir and CacheDir are absolute paths in the job container. They overlap neither
	// each other nor the folders of the system.
	BuildsDir string `toml:"builds_dir"`
	CacheDir  string `toml:"cache_dir"`
	// EntrypointTimeout bounds the time until the image's entrypoint executes the job's shell.
	EntrypointTimeout Duration `toml:"entrypoint_timeout"`
	// SystemdTimeout bounds the boot of systemd where it is the first process.
	SystemdTimeout Duration `toml:"systemd_timeout"`
	// InspectTimeout bounds the inspection and setup of a started container, without the two
	// above.
	InspectTimeout Duration `toml:"inspect_timeout"`
	// Environment is a list of KEY=value; the values may be secret.
	Environment []string `toml:"environment" secret:"true"`
	// Emulate lists the architectures of [Architectures] whose programs jobs can run.
	Emulate []string `toml:"emulate"`
	// EmulatorDir is an absolute path: the host's folder with QEMU's static user-mode emulators.
	EmulatorDir string `toml:"emulator_dir"`
	// Overrides are the settings that a job may change with variables.
	Overrides Overrides `toml:"overrides"`
}

func defaultJob() Job {
	return Job{
		PullPolicy:          []string{"always"},
		AllowedPullPolicies: []string{},
		AllowedImages:       []string{},
		AllowedServices:     []string{},
		AllowedUsers:        []string{},
		BuildsDir:           "/builds",
		CacheDir:            "/cache",
		EntrypointTimeout:   Duration(10 * time.Second),
		SystemdTimeout:      Duration(2 * time.Minute),
		InspectTimeout:      Duration(5 * time.Minute),
		Environment:         []string{},
		Emulate:             []string{},
		EmulatorDir:         "/usr/bin",
	}
}

func (j *Job) check(k *checker) {
	if strings.ContainsFunc(j.Image, blank) {
		k.bad("job.image", `%q contains white space; write for example "debian:12"`, j.Image)
	}
	if strings.ContainsFunc(j.User, blank) {
		k.bad("job.user", `%q contains white space; write for example "1000:1000"`, j.User)
	}
	k.pullPolicy("job.pull_policy", j.PullPolicy)
	for _, p := range j.AllowedPullPolicies {
		k.oneOf("job.allowed_pull_policies", p, pullPolicies)
	}
	allowed := func(policy string) bool { return slices.Contains(j.AllowedPullPolicies, policy) }
	if k.sound("job.pull_policy", "job.allowed_pull_policies") && len(j.AllowedPullPolicies) > 0 && !slices.ContainsFunc(j.PullPolicy, allowed) {
		k.bad("job.allowed_pull_policies", `%q has no policy in common with job.pull_policy %q, so that no job could get an image; write for example %q`, j.AllowedPullPolicies, j.PullPolicy, append([]string{j.PullPolicy[0]}, j.AllowedPullPolicies...))
	}
	k.patterns("job.allowed_images", j.AllowedImages)
	k.patterns("job.allowed_services", j.AllowedServices)
	for _, user := range j.AllowedUsers {
		if user == "" || strings.ContainsFunc(user, blank) {
			k.bad("job.allowed_users", `%q is not a user; write for example "1000:1000"`, user)
		}
	}
	if len(j.AllowedUsers) > 0 && j.User != "" && !slices.Contains(j.AllowedUsers, j.User) {
		k.bad("job.allowed_users", `job.user %q is not in the list, and every job runs as it; add it`, j.User)
	}
	k.jobDir("job.builds_dir", j.BuildsDir, "/builds")
	k.jobDir("job.cache_dir", j.CacheDir, "/cache")
	if k.sound("job.builds_dir", "job.cache_dir") && Overlap(j.BuildsDir, j.CacheDir) {
		const text = "%q and %s %q are one folder or one is inside the other; write for example %q and %q"
		if _, given := k.lines["job.cache_dir"]; given {
			k.bad("job.cache_dir", text, j.CacheDir, "job.builds_dir", j.BuildsDir, "/cache", "/builds")
		} else {
			k.bad("job.builds_dir", text, j.BuildsDir, "job.cache_dir", j.CacheDir, "/builds", "/cache")
		}
	}
	k.positive("job.entrypoint_timeout", j.EntrypointTimeout, "10s")
	k.positive("job.systemd_timeout", j.SystemdTimeout, "2m")
	k.positive("job.inspect_timeout", j.InspectTimeout, "5m")
	k.environment("job.environment", j.Environment)
	for n, name := range j.Emulate {
		k.oneOf("job.emulate", name, Architectures)
		if slices.Contains(j.Emulate[:n], name) {
			k.bad("job.emulate", "%q is there twice", name)
		}
		if slices.Contains(native(runtime.GOARCH), name) {
			k.bad("job.emulate", "this machine runs programs for %s itself; take it out of the list", name)
		}
	}
	k.absolute("job.emulator_dir", j.EmulatorDir, "/usr/bin")
	j.Overrides.check(k)
}

// Architectures are those that job.emulate can name: Go's names, which the platforms of images have, too.
var Architectures = []string{"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"}

// native are the architectures whose programs a machine runs itself. Not every arm64 processor runs those for arm.
func native(machine string) []string {
	if machine == "amd64" {
		return []string{"amd64", "386"}
	}
	return []string{machine}
}

// pullPolicies are GitLab's: https://docs.gitlab.com/ci/yaml/#imagepull_policy.
var pullPolicies = []string{"always", "if-not-present", "never"}

// patterns requires doublestar patterns, with or without a leading "!".
func (k *checker) patterns(key string, globs []string) {
	for _, glob := range globs {
		plain := strings.TrimPrefix(glob, "!")
		if plain == "" || strings.ContainsFunc(plain, blank) || !doublestar.ValidatePattern(plain) {
			k.bad(key, `%q is not a pattern of image names; write for example "registry.example/group/**" or "!**/private/*"`, glob)
		}
	}
}

// systemDirs are the container's folders that a folder of the job must not overlap.
var systemDirs = []struct{ path, reason string }{
	{"/proc", "belongs to the kernel"},
	{"/sys", "belongs to the kernel"},
	{"/dev", "contains the devices"},
	{"/run", "is hidden when systemd starts"},
	{"/var/run", "is a link to /run"},
	{"/var/lib/containers", "is the job's storage volume"},
	{"/gsx", "is the job's storage volume"},
}

func (k *checker) jobDir(key, dir, example string) {
	if !k.absolute(key, dir, example) {
		return
	}
	for _, system := range systemDirs {
		if Overlap(dir, system.path) {
			k.bad(key, "%q overlaps %s, which %s; write for example %q", dir, system.path, system.reason, example)
			return
		}
	}
}
