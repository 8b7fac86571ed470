// Package contract reads what GitLab Runner passes to a custom executor, as plain values: the
// environment, the job's payload, the exit codes and the calling process
// (https://docs.gitlab.com/runner/executors/custom/).
package contract

import (
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/executor/job"

	"github.com/sirupsen/logrus"
	"gitlab.com/gitlab-org/gitlab-runner/executors/custom/api"
)

// VariablePrefix is the prefix of the job's variables in the environment.
const VariablePrefix = "CUSTOM_ENV_"

// Call has the Runner's input for one call.
type Call struct {
	BuildFailure  int    // exit code for a failure of the job
	SystemFailure int    // exit code for a failure of the system
	ExitCodeFile  string // file for a script's own exit code; empty before Runner 17
	Job           *Job   // nil if the Runner gives no payload, for example for a cleanup after a failed config
	unread        error  // why the payload could not be read; Job is nil then
	// Variables are the job's expanded variables from the Runner. A file-type variable has the
	// file's content instead of its path. The job's author can override each of them.
	Variables map[string]string
}

// ReadCall reads the contract from environ ("NAME=value" each). If the payload's file cannot be
// read, Identity returns the error; if the payload is invalid, ReadCall does.
func ReadCall(environ []string) (*Call, error) {
	c := &Call{Variables: map[string]string{}}
	own := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if job, ok := strings.CutPrefix(name, VariablePrefix); ok {
			c.Variables[job] = value
		} else {
			own[name] = value
		}
	}
	// These two come first, so that later errors get the right exit code.
	c.BuildFailure, c.SystemFailure = ExitCodes(environ)
	c.ExitCodeFile = own[api.BuildCodeFileVariable]
	if path := own[api.JobResponseFileVariable]; path != "" {
		text, err := readPayload(path)
		if err != nil {
			c.unread = fmt.Errorf("the job's payload (%s): %w", api.JobResponseFileVariable, err)
			return c, nil
		}
		if c.Job, err = ParseJob(text); err != nil {
			return nil, fmt.Errorf("the job's payload (%s): %w", api.JobResponseFileVariable, err)
		}
	}
	return c, nil
}

// ExitCodes returns the Runner's two exit codes, or its defaults if they are missing.
func ExitCodes(environ []string) (build, system int) {
	build, system = 1, 2
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			continue
		}
		switch name {
		case api.BuildFailureExitCodeVariable:
			build = n
		case api.SystemFailureExitCodeVariable:
			system = n
		}
	}
	return build, system
}

// Identity identifies the job by the payload alone: the job's author can set each of the
// variables.
func (c *Call) Identity() (job.Identity, error) {
	switch {
	case c.unread != nil:
		return job.Identity{}, c.unread
	case c.Job == nil:
		return job.Identity{}, fmt.Errorf("the Runner gives no payload (%s), and variables do not identify the job, because its author can set each of them. GitLab Runner 14.1 and newer give a payload; only GitLab Runner can call this command (see the try command)",
			api.JobResponseFileVariable)
	}
	i := job.Identity{
		Server:     c.Job.server(),
		RunnerID:   c.Job.runner(),
		ProjectID:  c.Job.Info.ProjectID,
		PipelineID: c.Job.Info.PipelineID,
		JobID:      c.Job.ID,
	}
	if i.JobID <= 0 || i.ProjectID <= 0 {
		return job.Identity{}, fmt.Errorf("the job's payload (%s) has job ID %d and project ID %d; both have to be above 0", api.JobResponseFileVariable, i.JobID, i.ProjectID)
	}
	return i, nil
}

// CleanupIdentity is Identity if there is a payload. If the Runner gives none or its file is
// unreadable, it logs that, and the variables identify the job. proven is false then: the
// job's resources have to be removed, but the job's author can make the cleanup remove those
// of another job. Variables never override a readable payload.
func (c *Call) CleanupIdentity(log logrus.FieldLogger) (i job.Identity, proven bool, err error) {
	if c.Job != nil {
		i, err = c.Identity()
		return i, err == nil, err
	}
	i = job.Identity{
		Server:    host(c.Variables["CI_REPOSITORY_URL"]),
		ProjectID: c.Number("CI_PROJECT_ID"),
		JobID:     c.Number("CI_JOB_ID"),
	}
	why := c.unread
	if why == nil {
		why = fmt.Errorf("a payload (%s)", api.JobResponseFileVariable)
	}
	log.Warnf("Cleaning up without %v: the job is identified by its variables.", why)
	if i.JobID <= 0 || i.ProjectID <= 0 {
		return i, false, fmt.Errorf("the job is unknown: there is neither a payload (%s) nor %sCI_JOB_ID and %sCI_PROJECT_ID with numbers; only GitLab Runner can call this command (see the try command)",
			api.JobResponseFileVariable, VariablePrefix, VariablePrefix)
	}
	return i, false, nil
}

// Number returns a variable's value as a number; 0 if it is none.
func (c *Call) Number(name string) int64 {
	n, err := strconv.ParseInt(c.Variables[name], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// JobVariables returns the job's variables as GitLab's Docker executor sets them. temp is
// the folder in which the scripts store the content of file variables.
func (c *Call) JobVariables(temp string) map[string]string {
	vars := maps.Clone(c.Variables)
	for _, v := range c.Job.Variables {
		if _, ok := vars[v.Key]; ok && v.File {
			vars[v.Key] = temp + "/" + v.Key
		}
	}
	for name, s := range c.Job.Secrets {
		if _, ok := vars[name]; ok && (s.File == nil || *s.File) {
			vars[name] = temp + "/" + name
		}
	}
	return vars
}

// projectDir returns the folder of the project in the job's scripts.
func (c *Call) projectDir(builds string) string {
	if dir := c.Variables["CI_PROJECT_DIR"]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return builds
}

// TempDir returns the folder in which the Runner's scripts store file variables, next to the
// project. The job's author can set CI_PROJECT_DIR, but not the Runner's variable for this
// folder: the Runner adds it after the job's own (common/build.go,
// getBaseVariablesAfterJob). Old Runners lack it.
func (c *Call) TempDir(builds string) string {
	if dir := c.Variables[tempVariable]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return c.projectDir(builds) + ".tmp"
}
