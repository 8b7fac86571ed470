package plan

import (
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// folders returns the paths of the job's folders and whether they are kept. As with GitLab's
// Docker executor (Build.ProjectRealUniqueName, createVolumesManager), builds are kept per
// Runner, project and CI_CONCURRENT_PROJECT_ID, and separately for protected refs. The cache
// is kept per project: the Runner's archiver replaces whole archives, so jobs can share it.
// A cache key that ends in "-protected" does not prove protection, because the job's author
// can write such a key.
func folders(c *contract.Call, cfg *config.Config, id job.Identity, log logrus.FieldLogger) job.Folders {
	f := job.Folders{
		Builds: cfg.Job.BuildsDir, Cache: cfg.Job.CacheDir,
		KeepBuilds: cfg.Builds.Keep, KeepCache: cfg.Cache.Keep, KeepCacheMounts: cfg.KeepCacheMounts(),
		Slot: c.Number("CI_CONCURRENT_PROJECT_ID"), Protected: c.Job.Protected(),
	}
	if temp := c.TempDir(cfg.Job.BuildsDir); strings.HasPrefix(temp, f.Builds+"/") {
		f.Temp = temp
	}
	if id.Server == contract.TryServer {
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts = false, false, false
	}
	if name := c.Job.Contradiction(); name != "" {
		log.Warnf("The job's payload has different values of %s: the job counts as unprotected, and its folders are not kept.", name)
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts, f.Protected = false, false, false, false
	}
	// Otherwise a job could fill the disk with kept volumes, or have a folder cleared other than
	// the one with its secrets.
	if name := c.Job.Chosen(); name != "" && f.KeepBuilds {
		log.Warnf("The job sets %s itself: its folder %s is not kept.", name, f.Builds)
		f.KeepBuilds = false
	}
	if slot := c.Variables["CI_CONCURRENT_PROJECT_ID"]; f.KeepBuilds && slot != strconv.FormatInt(f.Slot, 10) {
		log.Warnf("The Runner gives no slot (CI_CONCURRENT_PROJECT_ID): the job's folder %s is not kept.", f.Builds)
		f.KeepBuilds = false
	}
	return f
}
