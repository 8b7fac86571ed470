package job

import (
	"maps"
	"regexp"
	"strings"
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
	// LabelOwner is the owner process, as owner.Process writes it.
	LabelOwner = LabelPrefix + "owner"
	// LabelState tells which state folder has the job's journal.
	LabelState = LabelPrefix + "state"
)

// LabelKept marks a volume that outlives its jobs and says what is in it: builds,
// cache or cache-mounts. Such a volume has no LabelName: no job's cleanup removes it.
const LabelKept = LabelPrefix + "kept"

// The labels, beside those of an Identity, of a volume that is kept.
const (
	LabelProtected = LabelPrefix + "protected"
	LabelSlot      = LabelPrefix + "slot"
)

// LabelImages marks the volumes with generations of shared images, and the container
// that fills one, with the state folder that they belong to.
const LabelImages = LabelPrefix + "images"

// LabelSystemd is an image's own label: "true" or "false" says whether systemd is
// to be the first process of its containers.
const LabelSystemd = LabelPrefix + "systemd"

// Labels are all labels that we read from a resource. A container has its image's
// labels, too, where it has no label of that name itself.
var Labels = []string{
	LabelName, LabelServer, LabelRunner, LabelProject, LabelPipeline, LabelJob, LabelRole, LabelOwner, LabelState,
	LabelImages, LabelKept, LabelProtected, LabelSlot,
}

// ContainerLabels are labels with every one that we read: those that are not given
// are empty, whatever the image's say.
func ContainerLabels(labels map[string]string) map[string]string {
	all := map[string]string{}
	for _, label := range Labels {
		all[label] = ""
	}
	maps.Copy(all, labels)
	return all
}

// name is the form of what Identity.Name gives.
var name = regexp.MustCompile(`^gsx-[0-9a-f]{8}-p[0-9]{1,19}-j[0-9]{1,19}$`)

// ValidName tells whether a job's name is one that Identity gives: it becomes
// part of a path, and is printed.
func ValidName(text string) bool { return name.MatchString(text) }

// Owns tells whether a resource of that name and with these labels is the named
// job's. The label alone does not tell: a container of somebody else has it where its
// image has. All names of our resources begin with the job's.
func Owns(job, resource string, labels map[string]string) bool {
	return ValidName(job) && labels[LabelName] == job && (resource == job || strings.HasPrefix(resource, job+"-"))
}
