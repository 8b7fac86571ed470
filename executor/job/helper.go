package job

import (
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/image"
)

// HelperMode selects the container for scripts that a helper container can run.
type HelperMode string

// The modes of a helper.
const (
	HelperAuto      HelperMode = "auto"      // in a helper container if the job's image has no git
	HelperJob       HelperMode = "job"       // always in the job container
	HelperContainer HelperMode = "container" // always in a helper container
)

// Helper are the settings of the work with git, caches and artifacts.
type Helper struct {
	Mode  HelperMode
	Image image.Request
	// Optional lets a job continue if the helper's image is not available.
	Optional bool
	// NeedsGit and NeedsTool are true if the job's scripts use git or the runner binary.
	NeedsGit, NeedsTool bool
	// Tool is the runner binary, a static executable on the host. Scripts find it under
	// ToolName. It is empty if there is none; the image then has to contain it.
	Tool, ToolName string
}

// Possible reports whether the job may get a helper container, whatever its image has.
func (h Helper) Possible() bool {
	return h.Mode == HelperContainer || h.Mode == HelperAuto && (h.NeedsGit || h.NeedsTool && h.Tool == "")
}

// Why returns the reason for a helper container; empty if the job gets none.
func (h Helper) Why(job agent.InspectResponse) string {
	switch {
	case h.Mode == HelperContainer:
		return "the configuration says so"
	case h.Mode == HelperJob:
	case h.NeedsGit && !job.Git:
		return "the job's image has no git"
	case h.NeedsTool && h.Tool == "" && job.ProgramMissing:
		return "the job's image has no " + h.ToolName
	}
	return ""
}
