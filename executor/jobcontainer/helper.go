package jobcontainer

import (
	"fmt"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
)

// HelperName is the name of the helper container in messages.
const HelperName = "the helper's container"

// HelperHome is the home folder in the helper container. The image does not have the job's user.
const HelperHome = "/home/job"

// HelperSetup is what has to exist before a script runs in the helper container. Its scripts run as the job's user:
// both containers can then change each other's files, and git accepts the repository's owner.
func HelperSetup(p job.Plan, found agent.InspectResponse) agent.Setup {
	return agent.Setup{
		User:    fmt.Sprintf("%d:%d", found.UID, found.GID),
		Folders: []agent.Folder{TMPDIR(p.Storage), {Path: HelperHome, Mode: 0o700, Owned: true}},
	}
}

// ReportHelper logs why the job gets a helper container.
func ReportHelper(log logrus.FieldLogger, h job.Helper, why string) {
	log.Infof("Git, cache and artifacts are done in a helper container, image %s: %s.", h.Image.Reference, why)
}

// ReportNoHelper warns that the job goes on without a helper container.
func ReportNoHelper(log logrus.FieldLogger, err error) {
	log.Warnf("The job goes on without a helper container because its image is not available: %v. Steps that need git will fail: install git in the job's image, or name an image with git as helper.image in the executor's configuration.", err)
}

// CheckHelper judges the inspection of the helper container, and refuses one without a shell or git.
func CheckHelper(log logrus.FieldLogger, h job.Helper, r agent.InspectResponse, err error) error {
	e := Examination{Container: HelperName, Image: h.Image.Reference, Log: log}
	if err := e.Check(r, err); err != nil {
		return err
	}
	switch {
	case r.Shell == "":
		return fmt.Errorf("image %s has no shell; name another as helper.image", e.Image)
	case h.NeedsGit && !r.Git:
		return fmt.Errorf("image %s has no git; name another as helper.image", e.Image)
	}
	return nil
}
