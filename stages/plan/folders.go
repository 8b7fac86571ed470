package plan

import (
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// folders says where the job's folders are and how long they last. As with
// GitLab's Docker executor (Build.ProjectRealUniqueName, createVolumesManager),
// builds are kept per Runner, project and CI_CONCURRENT_PROJECT_ID, and apart for
// protected refs. The cache is kept per project: the Runner's archiver replaces
// an archive as a whole, so jobs can share it. A cache key that ends in "-protected"
// is not proof of protection: the job's author can write such a key.
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
		log.Warnf("The job's payload says different things of %s: the job counts as unprotected, and its folders are not kept.", name)
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts, f.Protected = false, false, false, false
	}
	// Else a job could fill the disk, one kept volume after the other, or have another
	// place cleared than where its secrets are.
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
