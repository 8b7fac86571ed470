// Package job describes one job as plain data: its identity, its plan, and what the prepare
// stage learnt about it. It does not depend on an engine.
package job

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"gitlab-sysbox-executor/executor/owner"
)

// Identity distinguishes a job from every other job on this machine.
type Identity struct {
	Server     string `json:"server"` // host[:port] of the GitLab instance
	RunnerID   int64  `json:"runner_id"`
	ProjectID  int64  `json:"project_id"`
	PipelineID int64  `json:"pipeline_id"`
	JobID      int64  `json:"job_id"`
}

// Name is the prefix of all names of the job's resources. It is valid as a file name and
// as a name on the engine. The author of the job cannot choose any part of it. Two GitLab
// instances may use the same job number on one machine, so it has a hash of the server.
func (i Identity) Name() string {
	sum := sha256.Sum256([]byte(i.Server))
	return fmt.Sprintf("gsx-%s-p%d-j%d", hex.EncodeToString(sum[:4]), i.ProjectID, i.JobID)
}

// Role is the purpose of a container, network or volume of a job.
type Role string

// The roles.
const (
	RoleBuild   Role = "build" // the job container
	RoleHelper  Role = "helper"
	RoleService Role = "service"
	RoleNetwork Role = "network"
	RoleStorage Role = "storage"
	RoleBuilds  Role = "builds" // volumes that are removed with the job
	RoleCache   Role = "cache"
	RoleShared  Role = "shared" // a volume that the job shares with its services
)

// Labels returns the labels of a resource with this identity and role.
func (i Identity) Labels(role Role) map[string]string {
	return map[string]string{
		LabelName:     i.Name(),
		LabelServer:   i.Server,
		LabelRunner:   strconv.FormatInt(i.RunnerID, 10),
		LabelProject:  strconv.FormatInt(i.ProjectID, 10),
		LabelPipeline: strconv.FormatInt(i.PipelineID, 10),
		LabelJob:      strconv.FormatInt(i.JobID, 10),
		LabelRole:     string(role),
		LabelOwner:    owner.Label(),
	}
}
