package job

import (
	"maps"
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

// LabelPrefix is the prefix of all our labels. It is not the Runner's
// com.gitlab.gitlab-runner, because the Runner's clean-up scripts remove resources with that.
const LabelPrefix = "io.gitlab-sysbox-executor."

// The labels of every resource of a job.
const (
	LabelName     = LabelPrefix + "name"
	LabelServer   = LabelPrefix + "server"
	LabelRunner   = LabelPrefix + "runner"
	LabelProject  = LabelPrefix + "project"
	LabelPipeline = LabelPrefix + "pipeline"
	LabelJob      = LabelPrefix + "job"
	LabelRole     = LabelPrefix + "role"
	// LabelOwner is the owner process in the format of owner.Process.
	LabelOwner = LabelPrefix + "owner"
	// LabelState names the state folder with the job's journal.
	LabelState = LabelPrefix + "state"
	// LabelKeep is how long a person wants to look at the job after its end, as a time.Duration. The journal says
	// when that begins, but processes with another state folder do not see it.
	LabelKeep = LabelPrefix + "keep"
)

// LabelKept marks a volume that outlives its jobs. Its value is the content: builds, cache
// or cache-mounts. Such a volume has no LabelName, so no job's cleanup removes it.
const LabelKept = LabelPrefix + "kept"

// The labels of a kept volume, in addition to those of an Identity.
const (
	LabelProtected = LabelPrefix + "protected"
	LabelSlot      = LabelPrefix + "slot"
)

// LabelImages marks volumes with generations of shared images, and fill containers. Its
// value is the state folder that they belong to.
const LabelImages = LabelPrefix + "images"

// LabelSystemd is a label that images may have: "true" or "false" sets whether systemd is
// the first process of their containers.
const LabelSystemd = LabelPrefix + "systemd"

// Labels are all labels that we read from a resource. A container also has the labels of
// its image that it does not set itself.
var Labels = []string{
	LabelName, LabelServer, LabelRunner, LabelProject, LabelPipeline, LabelJob, LabelRole, LabelOwner, LabelState, LabelKeep,
	LabelImages, LabelKept, LabelProtected, LabelSlot,
}

// ContainerLabels adds every label that we read, with an empty value if labels does not
// have it. So the image cannot set them.
func ContainerLabels(labels map[string]string) map[string]string {
	all := map[string]string{}
	for _, label := range Labels {
		all[label] = ""
	}
	maps.Copy(all, labels)
	return all
}

// name matches the names that Identity.Name returns.
var name = lazyregexp.New(`^gsx-[0-9a-f]{8}-p[0-9]{1,19}-j[0-9]{1,19}$`)

// ValidName reports whether text can be a job's name. Such a name is used in paths and is
// printed.
func ValidName(text string) bool { return name().MatchString(text) }

// Owns reports whether a resource with this name and these labels belongs to the job. The
// label is not enough: another user's container has it if its image has it. The names of
// our resources also begin with the job's name.
func Owns(job, resource string, labels map[string]string) bool {
	return ValidName(job) && labels[LabelName] == job && (resource == job || strings.HasPrefix(resource, job+"-"))
}
