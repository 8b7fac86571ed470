package contract

import (
	"strconv"
	"strings"
)

// GitLab and the Runner give a job variables that say what it is, and its author can
// set others of the same names: in .gitlab-ci.yml, by hand, or from a vault. Which
// of them counts depends on their order, which is nobody's promise. So one is trusted
// only where all in the payload say the same, and one that the Runner adds only where
// the payload has none.

// Given are the values that the payload has for a variable; fetched tells that it
// comes from a vault, too.
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

// isNamed tells whether a variable with that key sets the named one: the Runner hands
// it over as KEY=VALUE, and a key may hold a "=" itself.
func isNamed(key, name string) bool {
	key, _, _ = strings.Cut(key, "=")
	return key == name
}

// says tells whether the payload has the variable and says nothing but value.
func (j *Job) says(name, value string) bool {
	values, _ := j.Given(name)
	return len(values) > 0 && !j.contradicts(name, value)
}

// contradicts tells whether the payload says anything of the variable but value.
func (j *Job) contradicts(name, value string) bool {
	values, fetched := j.Given(name)
	for _, v := range values {
		if v != value {
			return true
		}
	}
	return fetched
}

// runner is the Runner's number; 0 where that is not certain.
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

// Protected tells whether the job runs for a protected branch or tag. GitLab says so
// beside the variables from 18.3 on. Before, its variable counts, but only where its
// others are there, too: a pipeline can have the author's alone.
func (j *Job) Protected() bool {
	if j.contradicts(protectedVariable, "true") {
		return false
	}
	if p := j.Git.Protected; p != nil {
		return *p
	}
	return j.says(protectedVariable, "true") && j.says("CI_JOB_ID", strconv.FormatInt(j.ID, 10))
}

// Contradiction is a variable by which jobs are kept apart and of which the payload
// says different things; empty when there is none.
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

// tempVariable is where the Runner's scripts put file variables.
const tempVariable = "RUNNER_TEMP_PROJECT_DIR"

// Chosen is a variable by which builds folders are kept apart, or cleared, and that
// the job's author set; empty when there is none. The Runner adds all but CI_RUNNER_ID
// itself, and GIT_CLONE_PATH only by its own configuration.
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
