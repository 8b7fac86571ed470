// Package executor makes, uses and removes one job's environment. It knows
// nothing of GitLab Runner: the stages package turns what the Runner says into a
// job.Plan, and this package realises it on a Docker Engine.
package executor

import (
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/shared"
)

// plan is a job's, with what prepare has made for it so far.
type plan struct {
	job.Plan
	images     shared.Generation
	volumes    volumes
	logOptions map[string]string
}
