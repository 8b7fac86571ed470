package runner

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// variableList is the job's variables as the Runner holds them; of two with
// one key the later counts.
type variableList []Variable

func (l variableList) index(key string) int {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].Key == key {
			return i
		}
	}
	return -1
}

// value is a variable's content.
func (l variableList) value(key string) string {
	if i := l.index(key); i >= 0 {
		return l[i].Value
	}
	return ""
}

// reference is what $key stands for within another variable: for one of type
// file its path.
func (l variableList) reference(key string) string {
	if key == "$" {
		return key
	}
	i := l.index(key)
	switch {
	case i < 0:
		return ""
	case l[i].File:
		return path.Join(l.value("RUNNER_TEMP_PROJECT_DIR"), key)
	default:
		return l[i].Value
	}
}

func (l variableList) expandText(text string) string { return os.Expand(text, l.reference) }

// expand replaces references once, as the Runner does: not recursively.
func (l variableList) expand() variableList {
	out := slices.Clone(l)
	for i := range out {
		if !out[i].Raw {
			out[i].Value = l.expandText(out[i].Value)
		}
	}
	return out
}

// workspace is where the Runner decided that the job's files lie. It is empty
// while config runs, whose output decides it.
type workspace struct {
	buildsDir, projectDir, cacheDir string
}

// tempDir is the project's sibling for the Runner's own files.
func (w workspace) tempDir() string { return w.projectDir + ".tmp" }

// allVariables are the Runner's GetAllVariables: feature flags, what comes
// before the job's own, those of the payload, what comes after.
func (j Job) allVariables(w workspace) variableList {
	var all variableList
	own := j.payloadVariables()
	for _, flag := range featureFlags {
		if i := own.index(flag.Key); i >= 0 {
			on, _ := strconv.ParseBool(own[i].Value)
			flag.Value = strconv.FormatBool(on)
		}
		all = append(all, flag)
	}
	if j.Image.Name != "" {
		all = append(all, Var("CI_JOB_IMAGE", j.Image.Name))
	}
	all = append(all,
		Var("CI_RUNNER_SHORT_TOKEN", j.RunnerToken),
		Var("CI_BUILDS_DIR", w.buildsDir),
		Var("CI_PROJECT_DIR", w.projectDir),
		Var("CI_CONCURRENT_ID", strconv.Itoa(j.ConcurrentID)),
		Var("CI_CONCURRENT_PROJECT_ID", strconv.Itoa(j.ConcurrentID)),
		Var("CI_SERVER", "yes"),
		Var("CI_JOB_STATUS", "running"),
		Var("CI_JOB_TIMEOUT", strconv.Itoa(int(j.Timeout.Seconds()))),
	)
	for _, v := range own {
		if !strings.HasPrefix(v.Key, "FF_") || !slices.ContainsFunc(featureFlags, func(f Variable) bool { return f.Key == v.Key }) {
			all = append(all, v)
		}
	}
	all = append(all,
		Var("CI_SHARED_ENVIRONMENT", "true"),
		Var("CI_RUNNER_VERSION", runnerVersion),
		Var("CI_RUNNER_REVISION", "98f3339d"),
		Var("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64"),
		Var("RUNNER_TEMP_PROJECT_DIR", w.tempDir()),
	)
	return all.expand()
}
