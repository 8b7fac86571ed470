// Package journal keeps, for each job, what was asked for, what was created and
// what is gone. A resource is written down before it is created and struck when
// it is gone, so whatever dies in between, what is left can be found again.
//
// One file per job, in JSON, replaced as a whole: a reader sees the old or the
// new one, never half of one. The file is flushed to disk before a change is
// reported as made. A Journal is for use by one goroutine or under its own lock;
// Record and Strike lock it themselves.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Schema is the version of the file's form.
const Schema = 1

// Kind is what sort of thing a resource is.
type Kind string

// The kinds of resources, in the order in which they are removed.
const (
	Container Kind = "container"
	Network   Kind = "network"
	Volume    Kind = "volume"
	Folder    Kind = "folder"
)

// Kinds lists every kind in the order of removal.
var Kinds = []Kind{Container, Network, Volume, Folder}

// Resource is one thing that a job has on this machine.
type Resource struct {
	Kind Kind      `json:"kind"`
	Name string    `json:"name"` // the engine's name for it; for a folder its path
	At   time.Time `json:"at"`   // when it was asked for
	// Created tells that it is known to exist; otherwise it may or may not.
	Created bool `json:"created"`
}

// File is what is on disk.
type File struct {
	Schema   int             `json:"schema"`
	Name     string          `json:"name"`
	Identity json.RawMessage `json:"identity,omitempty"`
	Started  time.Time       `json:"started"`
	// Facts are what prepare learnt and run needs; the executor's own.
	Facts     json.RawMessage `json:"facts,omitempty"`
	Resources []Resource      `json:"resources"`
}

// Journal is one job's.
type Journal struct {
	path string
	mu   sync.Mutex
	file File
}

const suffix = ".json"

// Path is where the journal of the named job is kept below dir.
func Path(dir, name string) string { return filepath.Join(dir, name+suffix) }

// Open reads the journal of the named job, or starts an empty one, which is
// written with its first record. A file that cannot be understood is set aside
// beside it and reported in aside; the journal is then empty.
func Open(dir, name string) (j *Journal, aside string, err error) {
	j = &Journal{path: Path(dir, name), file: File{Schema: Schema, Name: name}}
	text, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, "", nil
	} else if err != nil {
		return nil, "", fmt.Errorf("journal: %w", err)
	}
	var f File
	if err := json.Unmarshal(text, &f); err != nil || f.Schema != Schema || f.Name != name {
		aside = j.path + ".aside-" + time.Now().UTC().Format("20060102T150405.000000000")
		if err := os.Rename(j.path, aside); err != nil {
			return nil, "", fmt.Errorf("journal: setting aside: %w", err)
		}
		return j, aside, nil
	}
	j.file = f
	return j, "", nil
}

// Exists tells whether anything was ever written down and not yet forgotten.
func (j *Journal) Exists() bool {
	_, err := os.Stat(j.path)
	return err == nil
}

// Begin writes down the job's identity and the resources that are about to be
// created for it, in one record: the first of a journal.
func (j *Journal) Begin(identity any, intended ...Resource) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	text, err := json.Marshal(identity)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.file.Identity, j.file.Started = text, time.Now().UTC()
	for _, r := range intended {
		r.At = j.file.Started
		j.file.Resources = append(j.file.Resources, r)
	}
	return j.write()
}

// Intend writes down that a resource is about to be created.
func (j *Journal) Intend(kind Kind, name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.find(kind, name) < 0 {
		j.file.Resources = append(j.file.Resources, Resource{Kind: kind, Name: name, At: time.Now().UTC()})
	}
	return j.write()
}

// Created writes down that a resource exists.
func (j *Journal) Created(kind Kind, name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(kind, name); i >= 0 {
		j.file.Resources[i].Created = true
	}
	return j.write()
}

// Strike writes down that a resource is gone.
func (j *Journal) Strike(kind Kind, name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.find(kind, name)
	if i < 0 {
		return nil
	}
	j.file.Resources = slices.Delete(j.file.Resources, i, i+1)
	return j.write()
}

// SetFacts writes down what later stages need to know.
func (j *Journal) SetFacts(facts any) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.file.Facts = text
	return j.write()
}

// Facts reads what SetFacts wrote; false when there is nothing.
func (j *Journal) Facts(into any) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.file.Facts) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(j.file.Facts, into); err != nil {
		return false, fmt.Errorf("journal %s: %w", j.path, err)
	}
	return true, nil
}

// Resources lists what is written down and not struck.
func (j *Journal) Resources() []Resource {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.file.Resources)
}

// Forget removes the journal of a job of which nothing is left.
func (j *Journal) Forget() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *Journal) find(kind Kind, name string) int {
	return slices.IndexFunc(j.file.Resources, func(r Resource) bool { return r.Kind == kind && r.Name == name })
}

func (j *Journal) write() error {
	text, err := json.MarshalIndent(j.file, "", "  ")
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	dir := filepath.Dir(j.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	// renameio flushes the file before the rename; the folder's entry is flushed
	// here, so that the record outlives a power cut.
	if err := renameio.WriteFile(j.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
