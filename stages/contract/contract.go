// Package contract is what GitLab Runner hands to a custom executor, as plain values:
// the environment, the job's payload, the exit codes and the calling process
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

// VariablePrefix begins the names under which the Runner hands over the job's variables.
const VariablePrefix = "CUSTOM_ENV_"

// Call is what the Runner tells with every call.
type Call struct {
	BuildFailure  int    // exit code for a failure of the job's
	SystemFailure int    // exit code for a failure of the system's
	ExitCodeFile  string // where a script's own exit code goes; empty before Runner 17
	Job           *Job   // nil when the Runner gives no payload (cleanup after a failed config may lack it)
	unread        error  // why the payload that the Runner names could not be read; Job is nil then
	// Variables are the job's, expanded, as the Runner gives them. The content of
	// a file-type variable stands for its path. The job's author can override any.
	Variables map[string]string
}

// ReadCall reads the contract from environ ("NAME=value" each). A payload whose
// file cannot be read is Identity's error; one that makes no sense is one here.
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
	// These two first: whatever else is wrong is told with the right exit code.
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

// ExitCodes are the Runner's two, or its defaults where it gives none.
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

// Identity tells which job this is, by the payload alone: the job's author can set
// each of the variables.
func (c *Call) Identity() (job.Identity, error) {
	switch {
	case c.unread != nil:
		return job.Identity{}, c.unread
	case c.Job == nil:
		return job.Identity{}, fmt.Errorf("which job is this? The Runner names no payload (%s), and the job's author can set every variable. GitLab Runner 14.1 and newer name one; this command is for it to call (see the try command)",
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
		return job.Identity{}, fmt.Errorf("the job's payload (%s) has %d as the job's number and %d as its project's; GitLab's are above 0", api.JobResponseFileVariable, i.JobID, i.ProjectID)
	}
	return i, nil
}

// CleanupIdentity is Identity where there is a payload. Where the Runner names none,
// or its file cannot be read, which the log says, it comes from the variables and is
// not proven: what the job has here has to go all the same, but the job's author can
// lead the cleanup to another job. A payload that was read never gives way to them.
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
	log.Warnf("Cleaning up without %v: which job to clean up after is taken from its variables.", why)
	if i.JobID <= 0 || i.ProjectID <= 0 {
		return i, false, fmt.Errorf("which job is this? There is neither a payload (%s) nor %sCI_JOB_ID and %sCI_PROJECT_ID with numbers in them; this command is for GitLab Runner to call (see the try command)",
			api.JobResponseFileVariable, VariablePrefix, VariablePrefix)
	}
	return i, false, nil
}

// Number is a variable's value as a number, 0 when it is none.
func (c *Call) Number(name string) int64 {
	n, err := strconv.ParseInt(c.Variables[name], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// JobVariables are the job's as GitLab's Docker executor gives them; temp is where
// the scripts put the content of file variables.
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

// projectDir is where the job's scripts find the project.
func (c *Call) projectDir(builds string) string {
	if dir := c.Variables["CI_PROJECT_DIR"]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return builds
}

// TempDir is where the Runner's scripts put file variables, beside the project. The
// Runner adds its variable for it after the job's own (common/build.go,
// getBaseVariablesAfterJob), while the job's author can set CI_PROJECT_DIR. Old
// Runners do not have it.
func (c *Call) TempDir(builds string) string {
	if dir := c.Variables[tempVariable]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return c.projectDir(builds) + ".tmp"
}
