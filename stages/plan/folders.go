package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// folders returns the paths of the job's folders and whether they are kept. As with GitLab's
// Docker executor (Build.ProjectRealUniqueName, createVolumesManager), builds are kept per
// Runner, project and CI_CONCURRENT_PROJECT_ID, and separately for protected refs. The cache
// is kept per project: the Runner's archiver replaces whole archives, so jobs can share it.
// A cache key that ends in "-protected" does not prove protection, because the job's author
// can write such a key.
func folders(c *contract.Call, cfg *config.Config, id job.Identity, log logrus.FieldLogger) (job.Folders, error) {
	f := job.Folders{
		Builds: cfg.Job.BuildsDir, Cache: cfg.Job.CacheDir,
		KeepBuilds: cfg.Builds.Keep, KeepCache: cfg.Cache.Keep, KeepCacheMounts: cfg.KeepCacheMounts(), KeepStorage: cfg.KeepStorage(),
		Slot: c.Number("CI_CONCURRENT_PROJECT_ID"), Protected: c.Job.Protected(),
	}
	if temp := c.TempDir(cfg.Job.BuildsDir); strings.HasPrefix(temp, f.Builds+"/") {
		f.Temp = temp
	}
	if id.Server == contract.TryServer {
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts, f.KeepStorage = false, false, false, false
	}
	if name := c.Job.Contradiction(); name != "" {
		log.Warnf("The job's payload has different values of %s: the job counts as unprotected, and its folders are not kept.", name)
		f.KeepBuilds, f.KeepCache, f.KeepCacheMounts, f.KeepStorage, f.Protected = false, false, false, false, false
	}
	// Otherwise a job could fill the disk with kept volumes, or have a folder cleared other than
	// the one with its secrets.
	if name := c.Job.Chosen(); name != "" && (f.KeepBuilds || f.KeepStorage) {
		log.Warnf("The job sets %s itself: %s.", name, notKept(f))
		f.KeepBuilds, f.KeepStorage = false, false
	}
	if slot := c.Variables["CI_CONCURRENT_PROJECT_ID"]; (f.KeepBuilds || f.KeepStorage) && slot != strconv.FormatInt(f.Slot, 10) {
		log.Warnf("The Runner gives no slot (CI_CONCURRENT_PROJECT_ID): %s.", notKept(f))
		f.KeepBuilds, f.KeepStorage = false, false
	}
	if name := c.Job.OfFork(); name != "" && f.KeepStorage {
		log.Infof("The storage volume begins empty and is not kept: this pipeline is for a merge request from another project (%s).", name)
		f.KeepStorage = false
	}
	switch asked := c.Variables[storageVariable]; asked {
	case "":
	case freshStorage:
		f.KeepStorage = false
	default:
		return f, fault.Jobf("the job variable %s=%s is not possible: write %s, for an empty storage volume, or remove it", storageVariable, fault.Quote(asked), freshStorage)
	}
	return f, nil
}

// notKept is the part of a message that names what would have been kept.
func notKept(f job.Folders) string {
	switch {
	case !f.KeepStorage:
		return fmt.Sprintf("its folder %s is not kept", f.Builds)
	case !f.KeepBuilds:
		return "its storage volume is not kept"
	}
	return fmt.Sprintf("its folder %s is not kept, nor is its storage volume", f.Builds)
}

// storageVariable with the value freshStorage gives the job an empty storage volume, which is not kept.
const (
	storageVariable = "EXECUTOR_STORAGE"
	freshStorage    = "fresh"
)
