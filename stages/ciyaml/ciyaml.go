// Package ciyaml reads one job of a .gitlab-ci.yml, as GitLab reads it (https://docs.gitlab.com/ci/yaml/).
//
// It understands what one job on one machine needs, and names everything else with its line.
package ciyaml

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v4"
)

// Job is the definition of a job, with everything that it inherits.
type Job struct {
	Name, Stage string
	Image       Image
	Services    []Image
	// Variables are those of the file and of the job, in their order and before they are expanded.
	Variables []Variable
	Script    []string // with before_script before it
	After     []string // after_script
	// Notes name what the file says and Read does not understand, one line each.
	Notes []string
}

// Image is the image of a job or of a service. Its texts may contain variables.
type Image struct {
	Name       string
	Alias      string // of a service
	Entrypoint []string
	Command    []string
	User       string
	Platform   string
	PullPolicy []string
	Variables  []Variable
}

// Variable is a variable of a job. The variables in the value of one that is Raw are not expanded.
type Variable struct {
	Name, Value string
	Raw         bool
}

// Limits of a file: a few lines of anchors can stand for gigabytes (mostNodes).
const (
	mostBytes = 1 << 20
	mostNodes = 100_000
	mostDepth = 100
)

// Read reads a job. File is the name for errors and notes, which have the form FILE:LINE: TEXT.
func Read(file string, text []byte, job string) (Job, error) {
	r := &reader{file: file}
	if len(text) > mostBytes {
		return Job{}, fmt.Errorf("%s: it has more than %d bytes", file, mostBytes)
	}
	root, err := r.documents(text)
	if err != nil {
		return Job{}, err
	}
	if r.root, err = r.plain(root, nil, 0); err != nil {
		return Job{}, err
	}
	if r.root.Kind != yaml.MappingNode {
		return Job{}, r.errorf(root, "the file is no mapping of jobs; write for example \"build: {script: make}\"")
	}
	return r.job(job)
}

// reader reads one file.
type reader struct {
	file  string
	root  *yaml.Node
	nodes int // of the tree without aliases
	notes []string
}

func (r *reader) errorf(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.file, at.Line, fmt.Sprintf(format, args...))
}

func (r *reader) note(at *yaml.Node, format string, args ...any) {
	text := r.errorf(at, format, args...).Error()
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// documents returns the root of the file. GitLab's own files may have a header, spec:, as a document before it.
func (r *reader) documents(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	var all []*yaml.Node
	for {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %s", r.file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			all = append(all, n.Content[0])
		}
		if len(all) > 2 {
			break
		}
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("%s: the file is empty", r.file)
	case len(all) == 2 && all[0].Kind == yaml.MappingNode && len(all[0].Content) > 0 && all[0].Content[0].Value == "spec":
		r.note(all[0], "spec is not understood: inputs have no values")
		return all[1], nil
	case len(all) > 1:
		return nil, r.errorf(all[1], "the file has a second document, which GitLab does not read")
	}
	return all[0], nil
}

// rootKeywords are the keys of the file that are not jobs.
var rootKeywords = []string{"default", "include", "spec", "stages", "types", "variables", "workflow", "image", "services", "cache", "before_script", "after_script"}

// names lists the jobs of the file that can be run.
func (r *reader) names() (all []string) {
	for key, value := range pairs(r.root) {
		if !strings.HasPrefix(key.Value, ".") && !slices.Contains(rootKeywords, key.Value) && value.Kind == yaml.MappingNode {
			all = append(all, key.Value)
		}
	}
	return all
}

// missing is the error for a job that the file does not have.
func (r *reader) missing(name string) error {
	all := r.names()
	if len(all) == 0 {
		return fmt.Errorf("%s: it has no job %.100q, nor any other", r.file, name)
	}
	best := slices.MinFunc(all, func(a, b string) int {
		return cmp.Compare(levenshtein.Distance(a, name, nil), levenshtein.Distance(b, name, nil))
	})
	const shown = 20
	list := strings.Join(all[:min(shown, len(all))], ", ")
	if len(all) > shown {
		list += fmt.Sprintf(" and %d more", len(all)-shown)
	}
	return fmt.Errorf("%s: it has no job %.100q; do you mean %q? It has: %s", r.file, name, best, list)
}

func (r *reader) job(name string) (j Job, err error) {
	switch {
	case strings.HasPrefix(name, "."):
		return j, fmt.Errorf("%s: %.100q is a hidden job: others extend it, and it does not run itself", r.file, name)
	case slices.Contains(rootKeywords, name) || get(r.root, name) == nil:
		return j, r.missing(name)
	}
	own, err := r.extended(name, nil)
	if err != nil {
		return j, err
	}
	c, err := r.inherited(own)
	if err != nil {
		return j, err
	}
	j.Name = name
	if err := r.fill(&j, c); err != nil {
		return j, err
	}
	r.noteUnknown(own, c)
	j.Notes = r.notes
	return j, nil
}
