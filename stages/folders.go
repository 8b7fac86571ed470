package stages

import (
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
)

// folders says where the job's folders are and how long they last. As with
// GitLab's Docker executor (Build.ProjectRealUniqueName, createVolumesManager),
// builds are kept per Runner, project and CI_CONCURRENT_PROJECT_ID, and apart for
// protected refs. The cache is kept per project: the Runner's archiver replaces
// an archive as a whole, so jobs can share it.
func folders(c *Call, cfg *config.Config, id executor.Identity, log logrus.FieldLogger) executor.Folders {
	f := executor.Folders{
		Builds: cfg.Job.BuildsDir, Cache: cfg.Job.CacheDir, Project: c.projectDir(cfg.Job.BuildsDir),
		KeepBuilds: cfg.Builds.Keep, KeepCache: cfg.Cache.Keep,
		Slot:            c.number("CI_CONCURRENT_PROJECT_ID"),
		KeepCacheMounts: keepCacheMounts(cfg),
	}
	if temp := f.Project + ".tmp"; strings.HasPrefix(temp, f.Builds+"/") {
		f.Temp = temp
	}
	if id.Server == tryServer {
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts = false, false, false
	}
	if name := c.overridden(); name != "" && f.KeepBuilds {
		// Else a job could fill the disk, one kept volume after the other.
		log.Warnf("The job sets %s itself: its folder %s is not kept.", name, f.Builds)
		f.KeepBuilds = false
	}
	f.ProtectedBuilds = c.protected()
	// GitLab lets a trusted user's pipeline on another ref use the protected
	// cache, and says so in the key (https://gitlab.com/gitlab-org/gitlab/-/work_items/494478).
	f.ProtectedCache = f.ProtectedBuilds || c.Job != nil && slices.ContainsFunc(c.Job.Cache, func(cache Cache) bool {
		return strings.HasSuffix(cache.Key, "-protected")
	})
	return f
}

func keepCacheMounts(cfg *config.Config) bool { return cfg.Storage.CacheMounts == "project" }

// cacheMounts is how many bytes of them each project keeps; 0 for any number.
func cacheMounts(cfg *config.Config) int64 {
	if !keepCacheMounts(cfg) {
		return 0 // what was kept before goes with its age
	}
	return int64(cfg.Storage.CacheMountsSize)
}

// overridden is a variable by which builds are kept and which the job's author
// set; empty when there is none.
func (c *Call) overridden() string {
	// The Runner adds this one: GitLab does not send it.
	if _, ok := c.Job.given("CI_CONCURRENT_PROJECT_ID"); ok {
		return "CI_CONCURRENT_PROJECT_ID"
	}
	if id, ok := c.Job.given("CI_RUNNER_ID"); ok && id != c.Variables["CI_RUNNER_ID"] {
		return "CI_RUNNER_ID"
	}
	return ""
}

// protected tells whether the job runs for a protected branch or tag.
func (c *Call) protected() bool {
	if c.Job == nil {
		return false
	}
	if c.Job.Git.Protected != nil {
		return *c.Job.Git.Protected
	}
	value, _ := c.Job.given("CI_COMMIT_REF_PROTECTED")
	return value == "true"
}

// given is a variable of the payload. Of several with one name it is the first:
// GitLab's own come before those of the job's author.
func (j *Job) given(name string) (string, bool) {
	if j == nil {
		return "", false
	}
	for _, v := range j.Variables {
		if v.Key == name {
			return v.Value, true
		}
	}
	return "", false
}
