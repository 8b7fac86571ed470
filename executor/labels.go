package executor

import (
	"maps"
	"regexp"
	"strings"

	"gitlab-sysbox-executor/executor/engine"
)

// LabelPrefix begins every label of ours. It is not the Runner's own
// com.gitlab.gitlab-runner: the Runner's clean-up tools prune by that.
const LabelPrefix = "io.gitlab-sysbox-executor."

// The labels that every resource of a job carries.
const (
	LabelName     = LabelPrefix + "name"
	LabelServer   = LabelPrefix + "server"
	LabelRunner   = LabelPrefix + "runner"
	LabelProject  = LabelPrefix + "project"
	LabelPipeline = LabelPrefix + "pipeline"
	LabelJob      = LabelPrefix + "job"
	LabelRole     = LabelPrefix + "role"
	// LabelOwner tells which process drives the job: what journal.Process writes.
	LabelOwner = LabelPrefix + "owner"
	// LabelState tells which state folder has the job's journal.
	LabelState = LabelPrefix + "state"
)

// jobLabels are all labels that we read from a resource. A container has its image's
// labels, too, where it has no label of that name itself.
var jobLabels = []string{
	LabelName, LabelServer, LabelRunner, LabelProject, LabelPipeline, LabelJob, LabelRole, LabelOwner, LabelState,
	LabelImages, LabelKept, LabelProtected, LabelSlot,
}

// ofContainer are labels with every one that we read: those that are not given are
// empty, whatever the image's say.
func ofContainer(labels map[string]string) map[string]string {
	all := map[string]string{}
	for _, label := range jobLabels {
		all[label] = ""
	}
	maps.Copy(all, labels)
	return all
}

// jobName is what Identity.Name gives.
var jobName = regexp.MustCompile(`^gsx-[0-9a-f]{8}-p[0-9]{1,19}-j[0-9]{1,19}$`)

// validName tells whether a job's name is one that Identity gives: it becomes
// part of a path, and is printed.
func validName(name string) bool { return jobName.MatchString(name) }

// belongs tells whether what the engine found is the named job's. Its label alone does
// not tell: a container of somebody else's has it where its image has. All names of
// ours begin with the job's.
func belongs(f engine.Found, job string) bool {
	return validName(job) && f.Labels[LabelName] == job && (f.Name == job || strings.HasPrefix(f.Name, job+"-"))
}
