// Package job is one job as plain data: who it is, what it is to have, and what
// prepare learnt of it. Nothing in it belongs to an engine.
package job

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"gitlab-sysbox-executor/executor/owner"
)

// Identity tells one job from every other on this machine.
type Identity struct {
	Server     string `json:"server"` // host[:port] of the GitLab instance
	RunnerID   int64  `json:"runner_id"`
	ProjectID  int64  `json:"project_id"`
	PipelineID int64  `json:"pipeline_id"`
	JobID      int64  `json:"job_id"`
}

// Name is what all names of the job's resources derive from. It is fit for a
// file name and for every name the engine takes: nothing in it is the job
// author's choice. Two GitLab instances may use the same job number on one
// machine, hence the hash of the server.
func (i Identity) Name() string {
	sum := sha256.Sum256([]byte(i.Server))
	return fmt.Sprintf("gsx-%s-p%d-j%d", hex.EncodeToString(sum[:4]), i.ProjectID, i.JobID)
}

// Role is what a container, a network or a volume is to its job.
type Role string

// The roles.
const (
	RoleBuild   Role = "build" // the job's own container
	RoleHelper  Role = "helper"
	RoleService Role = "service"
	RoleNetwork Role = "network"
	RoleStorage Role = "storage"
	RoleBuilds  Role = "builds" // volumes that go with the job
	RoleCache   Role = "cache"
	RoleShared  Role = "shared" // a volume that the job shares with its services
)

// Labels are the identity as labels of a resource in the given role.
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
