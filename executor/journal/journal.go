// Package journal records, for each job, which resources were requested, made and removed. A
// resource is recorded before it is made, and its entry is removed when it is gone. So if a
// process dies in between, the resource can still be found.
//
// Each job has one JSON file, which is always replaced as a whole: a reader sees the old or the
// new version. The file is flushed to disk before a change is reported as done. On a full disk
// a change fails and the file stays as it was; the next change writes everything again. A
// journal can be removed on a full disk. The methods of a Journal are safe for concurrent use.
// Two processes that change the same journal need the job's lock.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/owner"
)

// Schema is the version of the file format.
const Schema = 1

// Kind is the kind of a resource.
type Kind string

// The kinds of resources.
const (
	Container Kind = "container" // Detail is its ID
	Network   Kind = "network"
	Volume    Kind = "volume"
	// Held is a path that the engine has removed; Detail names its holder (teardown.PossibleHolders).
	Held   Kind = "held"
	Loop   Kind = "loop" // Detail is the file behind the loop device
	Folder Kind = "folder"
	Disk   Kind = "disk" // the folder with the image of a kept storage volume
	Pod    Kind = "pod"  // Detail is its UID
)

// Resource is a resource of a job on this machine.
type Resource struct {
	Kind   Kind      `json:"kind"`
	Name   string    `json:"name"` // its name on the engine, or its path
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"` // when it was requested
	// Answered is true if the engine has answered the request, with success or not. Until
	// then the resource may still appear after a list did not contain it.
	Answered bool `json:"answered"`
	// Left is the reason why it could not be removed, with its holders.
	Left string `json:"left,omitempty"`
}

// Content is the content of the file.
type Content struct {
	Schema   int             `json:"schema"`
	Name     string          `json:"name"`
	Identity json.RawMessage `json:"identity,omitempty"`
	Started  time.Time       `json:"started"`
	// Engine is the address of the engine that has the resources.
	Engine string `json:"engine,omitempty"`
	// Owner is the owner process of the job.
	Owner owner.Process `json:"owner"`
	// Kept is set if the job's resources stay after the job, for a person to look at.
	Kept *Kept `json:"kept,omitempty"`
	// Ended is true if the job is over and its cleanup has begun.
	Ended bool `json:"ended,omitempty"`
	// Facts are what later stages need to know from prepare; defined by the executor.
	Facts     json.RawMessage `json:"facts,omitempty"`
	Resources resources       `json:"resources"`
}

// mostResources is far more than any job has. It limits the memory for a text, in which an empty
// resource has only two bytes.
const mostResources = 10_000

// resources is a list whose length is checked when it is read.
type resources []Resource

func (l *resources) UnmarshalJSON(text []byte) error {
	if elements(text) > mostResources {
		return fmt.Errorf("it has more than %d resources", mostResources)
	}
	return json.Unmarshal(text, (*[]Resource)(l))
}

// elements counts the elements of a JSON list; an empty list counts as one.
func elements(list []byte) int {
	depth, quoted, n := 0, false, 1
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 1:
			n++
		}
	}
	return n
}

// Journal is the journal of one job.
type Journal struct {
	path string
	mu   sync.Mutex // for file
	file Content
	// disk is held while the file is written. It is locked before mu.
	disk sync.Mutex
	// written is the text on disk.
	written []byte
	// unread is the reason why the file could not be read. The file is then not changed.
	unread error
}

const (
	suffix      = ".json"
	asideSuffix = ".aside-"
	// nextSuffix is the suffix of the next version while it is written. Older versions of this
	// program used the name for a spare file.
	nextSuffix = ".spare"
)

// Path is the path of the named job's journal in the folder dir.
func Path(dir, name string) string { return filepath.Join(dir, name+suffix) }

// Names lists the jobs that have a journal in the folder dir, or whose next version or lock file
// is still there.
func Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var names []string
	for _, e := range entries {
		// Job names contain no dot.
		if name, rest, ok := strings.Cut(e.Name(), suffix); ok && name != "" && !strings.HasPrefix(rest, asideSuffix) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Aside lists the unreadable journals in the folder dir.
func Aside(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+suffix+asideSuffix+"*"))
}

// Read returns the content of the named job's journal, and false if there is none. It changes
// nothing. A file that is not a valid journal is an error.
func Read(dir, name string) (Content, bool, error) {
	text, err := read(Path(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Content{}, false, nil
	} else if err != nil {
		return Content{}, false, fmt.Errorf("journal: %w", err)
	}
	c, err := parse(text, name)
	if err != nil {
		return Content{}, true, fmt.Errorf("journal %s: %w", Path(dir, name), err)
	}
	return c, true, nil
}

// mostBytes is larger than the journal of any job.
const mostBytes = 16 << 20

// read returns the text of a file, cut after one byte more than mostBytes.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	if info, err := f.Stat(); err == nil { // ReadAll would grow its buffer many times
		text.Grow(int(min(info.Size(), mostBytes)) + bytes.MinRead)
	}
	_, err = text.ReadFrom(io.LimitReader(f, mostBytes+1))
	return text.Bytes(), err
}

// parse parses the text of the named job's journal.
func parse(text []byte, name string) (c Content, err error) {
	if len(text) > mostBytes {
		return Content{}, fmt.Errorf("it has more than %d bytes", mostBytes)
	}
	if err := json.Unmarshal(text, &c); err != nil { // the error may repeat much of the text
		return Content{}, errors.New(fault.Brief(err.Error()))
	}
	if c.Schema != Schema || c.Name != name {
		return Content{}, fmt.Errorf("schema %d of job %s, want %d of %q", c.Schema, fault.Quote(c.Name), Schema, name)
	}
	return c, nil
}

// Open reads the journal of the named job, or begins an empty one, whose file is written with the
// first record. A file that is not a valid journal is renamed, its new name is returned in aside,
// and the journal is empty. After an error the journal is empty, too. The file is then not
// changed, and each method that would change it returns the same error.
func Open(dir, name string) (j *Journal, aside string, err error) {
	j = &Journal{path: Path(dir, name), file: Content{Schema: Schema, Name: name}}
	c, there, err := Read(dir, name)
	switch {
	case err != nil && there:
		aside = j.path + asideSuffix + time.Now().UTC().Format("20060102T150405.000000000")
		if err := os.Rename(j.path, aside); err != nil {
			j.unread = fmt.Errorf("journal: renaming the unreadable file: %w", err)
			return j, "", j.unread
		}
		return j, aside, nil
	case err != nil:
		j.unread = err
		return j, "", err
	case there:
		j.file = c
		if j.written, err = json.MarshalIndent(c, "", "  "); err != nil {
			return j, "", fmt.Errorf("journal: %w", err)
		}
	}
	return j, "", nil
}

// Content returns the present content of the journal.
func (j *Journal) Content() Content {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.file
	f.Resources = slices.Clone(f.Resources)
	return f
}

// Exists reports whether the journal has a file.
func (j *Journal) Exists() bool {
	_, err := os.Stat(j.path)
	return err == nil
}

// Touch records that a stage of the named job begins: the modification time of its journal below
// dir is the last write or the last begin of a stage.
func Touch(dir, name string) {
	now := time.Now()
	_ = os.Chtimes(Path(dir, name), now, now) // ignore errors: gc also checks the owner process
}

// Begin writes the first record of a journal: the job's identity, its owner process, the engine,
// and the resources that are about to be requested.
func (j *Journal) Begin(identity any, by owner.Process, engine string, intended ...Resource) error {
	text, err := json.Marshal(identity)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return j.change(func(f *Content) {
		f.Identity, f.Owner, f.Engine, f.Started, f.Kept, f.Ended = text, by, engine, time.Now().UTC(), nil, false
		f.intend(intended)
	})
}

// Intend records resources that are about to be requested.
func (j *Journal) Intend(resources ...Resource) error {
	return j.change(func(f *Content) { f.intend(resources) })
}

// Answered records that the engine has answered the request for a resource. It reaches the disk
// with the next change or Flush. If it is lost, a cleanup only has to list once more.
func (j *Journal) Answered(kind Kind, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.file.find(kind, name); i >= 0 {
		j.file.Resources[i].Answered = true
	}
}

// Made records that a resource was made, and its ID on the engine.
func (j *Journal) Made(kind Kind, name, id string) error {
	return j.change(func(f *Content) {
		if i := f.find(kind, name); i >= 0 {
			f.Resources[i].Answered, f.Resources[i].Detail = true, id
		}
	})
}

// End records that the job is over.
func (j *Journal) End() error {
	return j.change(func(f *Content) { f.Ended = true })
}

// Left records why a resource could not be removed.
func (j *Journal) Left(r Resource) error {
	return j.change(func(f *Content) {
		f.intend([]Resource{r})
		f.Resources[f.find(r.Kind, r.Name)].Left = r.Left
	})
}

// Strike records that resources are gone.
func (j *Journal) Strike(kind Kind, names ...string) error {
	return j.change(func(f *Content) {
		f.Resources = slices.DeleteFunc(f.Resources, func(r Resource) bool { return r.Kind == kind && slices.Contains(names, r.Name) })
	})
}

// SetFacts records what later stages need to know.
func (j *Journal) SetFacts(facts any) error {
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return j.change(func(f *Content) { f.Facts = text })
}

// Facts reads what SetFacts wrote; false if there is nothing.
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

// Resources lists the recorded resources that are not known to be gone.
func (j *Journal) Resources() []Resource { return j.Content().Resources }

// Forget removes the journal of a job that has no resources left.
func (j *Journal) Forget() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.unread != nil {
		return j.unread
	}
	testHook()
	for _, path := range []string{j.path, j.path + nextSuffix} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("journal: %w", err)
		}
		testHook()
	}
	return nil
}

func (f *Content) find(kind Kind, name string) int {
	return slices.IndexFunc(f.Resources, func(r Resource) bool { return r.Kind == kind && r.Name == name })
}

func (f *Content) intend(resources []Resource) {
	for _, r := range resources {
		if f.find(r.Kind, r.Name) < 0 {
			r.At = time.Now().UTC()
			f.Resources = append(f.Resources, r)
		}
	}
}
