package kept

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/executor/job"
)

// Prefix is the prefix of the names of kept volumes.
const Prefix = "gsx-kept-"

// The kinds of kept volumes.
const (
	Builds      = "builds"
	Cache       = "cache"
	CacheMounts = "cache-mounts"
	// Storage volumes are files of this machine (Disks), and not volumes of the engine.
	Storage = "storage"
)

// volumeFor returns the name and the labels of a job's volume of that kind. Own are further
// labels that distinguish it from other volumes of the project. The name contains a hash of
// the server, as in Identity.Name.
func volumeFor(i job.Identity, kind string, protected bool, own map[string]string) (string, map[string]string) {
	sum := sha256.Sum256([]byte(i.Server))
	name := fmt.Sprintf("%s%s-%s-p%d", Prefix, kind, hex.EncodeToString(sum[:4]), i.ProjectID)
	labels := map[string]string{
		job.LabelKept: kind, job.LabelServer: i.Server, job.LabelProject: strconv.FormatInt(i.ProjectID, 10),
		job.LabelProtected: strconv.FormatBool(protected),
	}
	maps.Copy(labels, own)
	if runner, ok := own[job.LabelRunner]; ok {
		name += "-r" + runner
	}
	if slot, ok := own[job.LabelSlot]; ok {
		name += "-s" + slot
	}
	if protected {
		name += "-protected"
	}
	return name, labels
}

// slotLabels are the further labels of what belongs to one slot of a runner.
func slotLabels(runner, slot int64) map[string]string {
	return map[string]string{job.LabelRunner: strconv.FormatInt(runner, 10), job.LabelSlot: strconv.FormatInt(slot, 10)}
}

// ofProject reports whether a volume with this name belongs to the job's project.
func ofProject(name string, i job.Identity) bool {
	return slices.ContainsFunc([]string{Builds, Cache, CacheMounts}, func(kind string) bool {
		base, _ := volumeFor(i, kind, false, nil)
		return name == base || strings.HasPrefix(name, base+"-")
	})
}
