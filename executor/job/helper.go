package job

import (
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/image"
)

// HelperMode says where the scripts run that a helper container can run.
type HelperMode string

// The modes of a helper.
const (
	HelperAuto      HelperMode = "auto"      // in a container of its own when the job's lacks git
	HelperJob       HelperMode = "job"       // always in the job's container
	HelperContainer HelperMode = "container" // always in a container of its own
)

// Helper is what does the work with git, caches and artifacts.
type Helper struct {
	Mode  HelperMode
	Image image.Request
	// Optional lets a job go on where the helper's image cannot be had.
	Optional bool
	// NeedsGit and NeedsTool tell what those of the job's scripts use.
	NeedsGit, NeedsTool bool
	// Tool is a static executable on the host that those scripts find as
	// ToolName; empty when there is none, and the image has to bring it.
	Tool, ToolName string
}

// Why tells why the job gets a helper container; empty when it gets none.
func (h Helper) Why(job agent.Report) string {
	switch {
	case h.Mode == HelperContainer:
		return "the configuration says so"
	case h.Mode == HelperJob:
	case h.NeedsGit && !job.Git:
		return "the job's image has no git"
	}
	return ""
}
