package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"

	"gitlab-sysbox-executor/executor/fault"
)

// Job is what we use of the payload that GitLab gave the Runner for the job.
// Unknown fields are left alone: each GitLab version adds some.
type Job struct {
	ID        int64          `json:"id"`
	Info      JobInfo        `json:"job_info"`
	Git       GitInfo        `json:"git_info"`
	Variables many[Variable] `json:"variables"`
	Image     Image          `json:"image"`
	Services  few[Image]     `json:"services"`
	// Credentials are for registries of GitLab's own, and for other things.
	Credentials few[Credentials] `json:"credentials"`
	// Secrets are the variables that the Runner fetches from elsewhere, by name.
	Secrets byName[Secret] `json:"secrets"`

	Cache        few[Cache]      `json:"cache"`
	Artifacts    many[something] `json:"artifacts"`
	Dependencies many[something] `json:"dependencies"`
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
	Raw    bool   `json:"raw"`
}

// Image is the job's image or one of its services.
type Image struct {
	Name         string        `json:"name"`
	Alias        string        `json:"alias"` // of a service: one or several, by commas or blanks
	Command      few[string]   `json:"command"`
	Entrypoint   few[string]   `json:"entrypoint"`
	Variables    few[Variable] `json:"variables"`
	PullPolicies few[string]   `json:"pull_policy"`
	Options      ImageOptions  `json:"executor_opts"`
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
		return fmt.Errorf("user %s is neither a string nor a whole number", fault.Quote(string(bytes.TrimSpace(text))))
	}
	*u = UserID(strconv.FormatInt(n, 10))
	return nil
}

// ParseJob reads a payload. One that is too large is the job's fault.
func ParseJob(text []byte) (*Job, error) {
	if len(text) > mostPayload {
		return nil, fault.Jobf("it has more than %d bytes: shorten the job's scripts or variables", mostPayload)
	}
	var j Job
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	return &j, nil
}

// The most that a payload may have, so that no job's fills the host's memory: an
// empty element of a list takes some fifty times its text. The Runner cannot start a
// driver for a job whose variables and services together are longer than the kernel
// lets an environment be (2 MB), which is less.
const (
	mostPayload = 16 << 20 // bytes
	mostFew     = 500      // elements of a list, of which each may have lists
	mostMany    = 20_000   // elements of another list
)

// readPayload reads a payload's file.
func readPayload(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	if info, err := f.Stat(); err == nil {
		text.Grow(int(min(info.Size(), mostPayload)) + bytes.MinRead)
	}
	_, err = text.ReadFrom(io.LimitReader(f, mostPayload+1)) // one byte more is ParseJob's to refuse
	return text.Bytes(), err
}

// something is a value of which only that it is there matters.
type something struct{}

func (*something) UnmarshalJSON([]byte) error { return nil }

// few is a list of at most mostFew, and many one of at most mostMany.
type (
	few[T any]  []T
	many[T any] []T
)

func (l *few[T]) UnmarshalJSON(text []byte) (err error) {
	*l, err = list[T](text, mostFew)
	return err
}

func (l *many[T]) UnmarshalJSON(text []byte) (err error) {
	*l, err = list[T](text, mostMany)
	return err
}

// list reads a JSON list of at most so many elements.
func list[T any](text []byte, most int) ([]T, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin == nil {
		return nil, err
	} else if begin != json.Delim('[') {
		return nil, errors.New("something else stands where a list should be") // which may hold a secret
	}
	var all []T
	for d.More() {
		if len(all) == most {
			return nil, fault.Jobf("one of its lists has more than %d elements", most)
		}
		var one T
		if err := d.Decode(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// byName is a JSON object of at most mostFew members.
type byName[T any] map[string]T

func (m *byName[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin == nil {
		return err
	} else if begin != json.Delim('{') {
		return errors.New("something else stands where an object should be")
	}
	*m = byName[T]{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var one T
		if err := d.Decode(&one); err != nil {
			return err
		}
		if (*m)[name.(string)] = one; len(*m) > mostFew {
			return fault.Jobf("one of its objects has more than %d members", mostFew)
		}
	}
	return nil
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

// TryServer stands for the GitLab instance in a job of the try command. No host can have the name (RFC 2606).
const TryServer = "try.invalid"
