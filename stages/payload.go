package stages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// Job is what we use of the payload that GitLab gave the Runner for the job.
// Unknown fields are left alone: each GitLab version adds some.
type Job struct {
	ID        int64      `json:"id"`
	Info      JobInfo    `json:"job_info"`
	Git       GitInfo    `json:"git_info"`
	Variables []Variable `json:"variables"`
	Image     Image      `json:"image"`
	Services  []Image    `json:"services"`
	// Credentials are for registries of GitLab's own, and for other things.
	Credentials []Credentials `json:"credentials"`
	// Secrets are the variables that the Runner fetches from elsewhere, by name.
	Secrets map[string]Secret `json:"secrets"`

	Cache        []Cache           `json:"cache"`
	Artifacts    []json.RawMessage `json:"artifacts"`
	Dependencies []json.RawMessage `json:"dependencies"`
}

// Secret is a variable whose value is not in the payload.
type Secret struct {
	File *bool `json:"file"` // whether the variable is a file's path; nil means that it is
}

// JobInfo places the job.
type JobInfo struct {
	ProjectID  int64 `json:"project_id"`
	PipelineID int64 `json:"pipeline_id"`
}

// GitInfo tells of the repository.
type GitInfo struct {
	RepoURL string `json:"repo_url"` // holds the job's token
	// Protected tells of the ref; nil from a GitLab that does not say so here.
	Protected *bool `json:"protected,omitempty"`
}

// Cache is one of the job's under cache:.
type Cache struct {
	Key string `json:"key"`
}

// Variable is one of the job's, before the Runner expands it.
type Variable struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Public bool   `json:"public"`
	File   bool   `json:"file"`
	Masked bool   `json:"masked"`
	Raw    bool   `json:"raw"`
}

// Image is the job's image or one of its services.
type Image struct {
	Name         string       `json:"name"`
	Alias        string       `json:"alias"` // of a service: one or several, by commas or blanks
	Command      []string     `json:"command"`
	Entrypoint   []string     `json:"entrypoint"`
	Variables    []Variable   `json:"variables"`
	PullPolicies []string     `json:"pull_policy"`
	Options      ImageOptions `json:"executor_opts"`
}

// ImageOptions are those of image:docker.
type ImageOptions struct {
	Docker struct {
		Platform string `json:"platform"`
		User     UserID `json:"user"`
	} `json:"docker"`
}

// Credentials are what GitLab gives a job for a server.
type Credentials struct {
	Type     string `json:"type"` // "registry" for a registry
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// String holds no secret.
func (c Credentials) String() string { return "[" + c.Type + " credentials for " + c.URL + "]" }

// GoString holds no secret.
func (c Credentials) GoString() string { return c.String() }

// UserID is a user as YAML gives it: a string or a number.
type UserID string

// UnmarshalJSON takes a string or a whole number.
func (u *UserID) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*u = UserID(s)
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("user %s is neither a string nor a whole number", bytes.TrimSpace(text))
	}
	*u = UserID(strconv.FormatInt(n, 10))
	return nil
}

// ParseJob reads a payload.
func ParseJob(text []byte) (*Job, error) {
	var j Job
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	return &j, nil
}

// server is the GitLab instance's host, which only it can say.
func (j *Job) server() string { return host(j.Git.RepoURL) }

// host is the host[:port] of a URL, without whatever secret is in it.
func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}
