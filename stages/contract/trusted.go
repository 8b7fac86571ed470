package contract

import (
	"strconv"
	"strings"
)

// GitLab and the Runner set variables that identify the job, and its author can set
// variables of the same names: in .gitlab-ci.yml, by hand, or from a vault. Their order
// decides which one counts, and no version guarantees that order. So a variable is trusted
// only if all its values in the payload agree, and one that the Runner adds only if the
// payload lacks it.

// Given returns the payload's values of a variable; fetched means that it also comes from a
// vault.
func (j *Job) Given(name string) (values []string, fetched bool) {
	for _, v := range j.Variables {
		if isNamed(v.Key, name) {
			values = append(values, v.Value)
		}
	}
	for key := range j.Secrets {
		fetched = fetched || isNamed(key, name)
	}
	return values, fetched
}

// isNamed reports whether a variable with this key sets the named one: the Runner passes it
// on as KEY=VALUE, and a key may contain a "=".
func isNamed(key, name string) bool {
	key, _, _ = strings.Cut(key, "=")
	return key == name
}

// says reports whether the payload has the variable with no value but this one.
func (j *Job) says(name, value string) bool {
	values, _ := j.Given(name)
	return len(values) > 0 && !j.contradicts(name, value)
}

// contradicts reports whether the payload has the variable with another value.
func (j *Job) contradicts(name, value string) bool {
	values, fetched := j.Given(name)
	for _, v := range values {
		if v != value {
			return true
		}
	}
	return fetched
}

// runner returns the Runner's ID; 0 if it is uncertain.
func (j *Job) runner() int64 {
	values, _ := j.Given("CI_RUNNER_ID")
	if len(values) == 0 || j.contradicts("CI_RUNNER_ID", values[0]) {
		return 0
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

const protectedVariable = "CI_COMMIT_REF_PROTECTED"

// Protected reports whether the job runs for a protected branch or tag. Since 18.3 GitLab
// sends this outside the variables. Before, its variable counts, but only if GitLab's other
// variables are present: a pipeline can have only the author's.
func (j *Job) Protected() bool {
	if j.contradicts(protectedVariable, "true") {
		return false
	}
	if p := j.Git.Protected; p != nil {
		return *p
	}
	return j.says(protectedVariable, "true") && j.says("CI_JOB_ID", strconv.FormatInt(j.ID, 10))
}

// Contradiction returns a variable that separates jobs and has different values in the payload;
// empty if there is none.
func (j *Job) Contradiction() string {
	values, _ := j.Given(protectedVariable)
	protected := append(values, "")[0]
	if p := j.Git.Protected; p != nil {
		protected = strconv.FormatBool(*p)
	}
	switch {
	case j.contradicts("CI_PROJECT_ID", strconv.FormatInt(j.Info.ProjectID, 10)):
		return "CI_PROJECT_ID"
	case j.contradicts(protectedVariable, protected):
		return protectedVariable
	}
	return ""
}

// OfFork returns a variable by which GitLab says that the pipeline is for a merge request from another project,
// such as a fork; empty if there is none. Such a pipeline may run in the parent project, with its project ID
// (https://docs.gitlab.com/ci/pipelines/merge_request_pipelines/#use-with-forked-projects).
func (j *Job) OfFork() string {
	const source = "CI_MERGE_REQUEST_SOURCE_PROJECT_ID"
	if j.contradicts(source, strconv.FormatInt(j.Info.ProjectID, 10)) {
		return source
	}
	return ""
}

// tempVariable is the Runner's variable for the folder of file variables.
const tempVariable = "RUNNER_TEMP_PROJECT_DIR"

// Chosen returns a variable that selects or clears builds folders and that the job's author
// set; empty if there is none. The Runner adds all but CI_RUNNER_ID itself, and
// GIT_CLONE_PATH only from its own configuration.
func (j *Job) Chosen() string {
	for _, name := range []string{"CI_CONCURRENT_PROJECT_ID", "CI_PROJECT_DIR", "GIT_CLONE_PATH", tempVariable} {
		if values, fetched := j.Given(name); len(values) > 0 || fetched {
			return name
		}
	}
	values, fetched := j.Given("CI_RUNNER_ID")
	if fetched || len(values) > 0 && j.contradicts("CI_RUNNER_ID", values[0]) {
		return "CI_RUNNER_ID"
	}
	return ""
}
