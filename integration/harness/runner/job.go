// Package runner plays GitLab Runner's side of the custom executor contract
// to the letter: the job's payload, the driver's environment, the script
// files, the order of the stages, the retries, the signals and what becomes of
// the job. It follows the source of Runner 19.3 (common/build.go,
// executors/custom, shells/abstract.go) and is checked against scripts that a
// real one generated.
package runner

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Job is what a project's .gitlab-ci.yml and its GitLab instance say of one
// job. The zero value of every field is usable; [Job.withDefaults] tells what
// it stands for.
type Job struct {
	ID           int64 // 0: a random one, since names of resources derive from it
	Name         string
	Image        Image
	Services     []Image
	Variables    []Variable
	Script       []string
	Steps        []Step // further steps such as `release`, after the script
	AfterScript  []string
	Cache        []Cache
	Artifacts    []Artifact
	Dependencies []Dependency
	Credentials  []Credentials

	ProjectID     int64
	ProjectPath   string // group/project
	PipelineID    int64
	ConcurrentID  int // the Runner's slot
	Token         string
	ServerURL     string
	RunnerToken   string // the short form
	RunnerID      int64
	Repo          Repo
	Hostname      string // of the Runner's machine, until config's output says another
	Timeout       time.Duration
	StartedAt     time.Time
	CorrelationID string

	// BuildsDir and CacheDir are the Runner's own configuration, which
	// config's output overrides.
	BuildsDir, CacheDir string
	// Shell is the Runner's `shell` setting: bash unless said otherwise.
	Shell string
}

// Repo is the repository the job clones.
type Repo struct {
	URL       string // "": derived from server and project; nobody answers there
	Ref       string
	SHA       string
	Refspecs  []string
	Depth     int
	Protected bool
}

// Image is the job's image or a service.
type Image struct {
	Name         string
	Alias        string
	Entrypoint   []string
	Command      []string
	Variables    []Variable
	PullPolicies []string
	Platform     string
	User         string // the Runner hands a number on as a string, too
}

// Variable is a CI/CD variable of the job.
type Variable struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Public bool   `json:"public"`
	File   bool   `json:"file"`
	Masked bool   `json:"masked"`
	Raw    bool   `json:"raw"`
}

// Var is a plain variable.
func Var(key, value string) Variable { return Variable{Key: key, Value: value, Public: true} }

// Step is a part of the script with a stage of its own.
type Step struct {
	Name   string
	Script []string
}

// Cache is an entry of the job's `cache:`.
type Cache struct {
	Key    string
	Paths  []string
	When   string // on_success, on_failure, always
	Policy string // pull-push, pull, push
}

// Artifact is an entry of the job's `artifacts:`.
type Artifact struct {
	Name  string
	Paths []string
	When  string // on_success, on_failure, always
}

// Dependency is an earlier job whose artifacts this one wants.
type Dependency struct {
	ID    int64
	Name  string
	Token string
}

// Credentials are what GitLab sends for a registry of its own.
type Credentials struct {
	Type     string `json:"type"`
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// withDefaults returns a copy in which every needed field has a value.
func (j Job) withDefaults() Job {
	or := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	if j.ID == 0 {
		j.ID = 1_000_000 + rand.Int64N(1_000_000_000)
	}
	if j.PipelineID == 0 {
		j.PipelineID = 100_000 + j.ID
	}
	if j.ProjectID == 0 {
		j.ProjectID = 42
	}
	if j.RunnerID == 0 {
		j.RunnerID = 1
	}
	if j.Timeout == 0 {
		j.Timeout = 10 * time.Minute
	}
	if j.StartedAt.IsZero() {
		j.StartedAt = time.Now().UTC()
	}
	or(&j.Name, "job")
	or(&j.ProjectPath, "group/project")
	or(&j.ServerURL, "http://127.0.0.1:8929") // nobody listens there
	or(&j.RunnerToken, "faketoken")
	or(&j.Token, fmt.Sprintf("glcbt-64_%020x", j.ID))
	or(&j.CorrelationID, fmt.Sprintf("%032x", j.ID))
	or(&j.Shell, "bash")
	or(&j.Repo.Ref, "main")
	or(&j.Repo.SHA, "32a76ea9c1e13dccbab7f2d47a003fbb008c5d17")
	or(&j.Repo.URL, j.projectURL("gitlab-ci-token:"+j.Token+"@")+".git")
	if j.Repo.Refspecs == nil {
		j.Repo.Refspecs = []string{
			fmt.Sprintf("+refs/pipelines/%[1]d:refs/pipelines/%[1]d", j.PipelineID),
			fmt.Sprintf("+refs/heads/%[1]s:refs/remotes/origin/%[1]s", j.Repo.Ref),
		}
	}
	if j.Repo.Depth == 0 {
		j.Repo.Depth = 20
	}
	return j
}

func (j Job) projectURL(user string) string {
	return strings.Replace(j.ServerURL, "://", "://"+user, 1) + "/" + j.ProjectPath
}

// projectDir is where below builds_dir the Runner wants the project.
func (j Job) projectDir(buildsDir string, shared bool) string {
	slug := "project-" + strconv.FormatInt(j.ProjectID, 10)
	if u, err := url.Parse(j.Repo.URL); err == nil && u.Host != "" {
		slug = path.Clean(strings.TrimSuffix(u.Path, ".git"))
	}
	if shared {
		slug = path.Join(j.RunnerToken, strconv.Itoa(j.ConcurrentID), slug)
	}
	return path.Join(buildsDir, slug)
}
