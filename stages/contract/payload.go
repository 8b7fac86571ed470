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

// Job is the part that we use of GitLab's payload for the job. Unknown fields are ignored: each
// GitLab version adds some.
type Job struct {
	ID        int64          `json:"id"`
	Info      JobInfo        `json:"job_info"`
	Git       GitInfo        `json:"git_info"`
	Variables many[Variable] `json:"variables"`
	Image     Image          `json:"image"`
	Services  few[Image]     `json:"services"`
	// Credentials are for GitLab's registries, and for other services.
	Credentials few[Credentials] `json:"credentials"`
	// Secrets are the variables that the Runner gets from a vault, by name.
	Secrets byName[Secret] `json:"secrets"`

	Features     Features        `json:"features"`
	Cache        few[Cache]      `json:"cache"`
	Artifacts    many[something] `json:"artifacts"`
	Dependencies many[something] `json:"dependencies"`
}

// Features are what GitLab can do with the job.
type Features struct {
	TraceSections bool `json:"trace_sections"` // the job log may have collapsible sections
}

// Secret is a variable whose value is not in the payload.
type Secret struct {
	File *bool `json:"file"` // whether the variable is a file's path; nil means true
}

// JobInfo identifies the job.
type JobInfo struct {
	ProjectID  int64 `json:"project_id"`
	PipelineID int64 `json:"pipeline_id"`
}

// GitInfo describes the repository.
type GitInfo struct {
	RepoURL string `json:"repo_url"` // contains the job's token
	// Protected describes the ref; nil if GitLab does not send it.
	Protected *bool `json:"protected,omitempty"`
}

// Cache is one entry of the job's cache:.
type Cache struct {
	Key string `json:"key"`
}

// Variable is a variable of the job before the Runner expands it.
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
	Alias        string        `json:"alias"` // of a service: one or several, separated by commas or spaces
	Command      few[string]   `json:"command"`
	Entrypoint   few[string]   `json:"entrypoint"`
	Variables    few[Variable] `json:"variables"`
	PullPolicies few[string]   `json:"pull_policy"`
	Options      ImageOptions  `json:"executor_opts"`
}

// ImageOptions are the options under image:docker.
type ImageOptions struct {
	Docker struct {
		Platform string `json:"platform"`
		User     UserID `json:"user"`
	} `json:"docker"`
}

// Credentials are the job's credentials for a server.
type Credentials struct {
	Type     string `json:"type"` // "registry" for a registry
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// String omits the secret.
func (c Credentials) String() string { return "[" + c.Type + " credentials for " + c.URL + "]" }

// GoString omits the secret.
func (c Credentials) GoString() string { return c.String() }

// UserID is a user in YAML: a string or a number.
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

// ParseJob parses a payload. If it is too large, the error is the job's fault.
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

// The limits of a payload, so that no job's payload fills the host's memory: an empty list
// element takes about fifty times its text. The Runner cannot start a driver for a job whose
// variables and services are together longer than the kernel's limit for an environment (2
// MB), which is less.
const (
	mostPayload = 16 << 20 // bytes
	mostFew     = 500      // elements of a list whose elements may contain lists
	mostMany    = 20_000   // elements of other lists
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
	_, err = text.ReadFrom(io.LimitReader(f, mostPayload+1)) // ParseJob rejects the additional byte
	return text.Bytes(), err
}

// something is a value of which only the presence matters.
type something struct{}

func (*something) UnmarshalJSON([]byte) error { return nil }

// few is a list of at most mostFew elements, many one of at most mostMany.
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

// list reads a JSON list of at most most elements.
func list[T any](text []byte, most int) ([]T, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin == nil {
		return nil, err
	} else if begin != json.Delim('[') {
		return nil, errors.New("it has another value in place of a list") // the value may be secret
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
		return errors.New("it has another value in place of an object")
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

// server returns the host of the GitLab instance, which the job's author cannot change.
func (j *Job) server() string { return host(j.Git.RepoURL) }

// host returns the host[:port] of a URL, without any secret in it.
func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}

// TryServer is the GitLab instance of jobs of the try command. No host can have this name
// (RFC 2606).
const TryServer = "try.invalid"
