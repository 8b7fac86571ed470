// Package journal keeps, for each job, what was asked for, what was created and
// what is gone. A resource is written down before it is created and struck when
// it is gone, so whatever dies in between, what is left can be found again.
//
// One file per job, in JSON, replaced as a whole: a reader sees the old or the
// new one, never half of one. The file is flushed to disk before a change is
// reported as made. A full disk refuses a change; the file then stays as it was, and
// the next change writes everything again. A journal can be forgotten on a full disk.
// A Journal's methods may be called concurrently; two processes that change one
// need the job's lock.
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

// Schema is the version of the file's form.
const Schema = 1

// Kind is what sort of thing a resource is.
type Kind string

// The kinds of resources.
const (
	Container Kind = "container" // Detail is its ID
	Network   Kind = "network"
	Volume    Kind = "volume"
	// Held is a path of the engine's, gone there already, that somebody still
	// keeps; Detail tells who (teardown.Grip).
	Held   Kind = "held"
	Loop   Kind = "loop" // a loop device; Detail is the file behind it
	Folder Kind = "folder"
)

// Resource is one thing that a job has on this machine.
type Resource struct {
	Kind   Kind      `json:"kind"`
	Name   string    `json:"name"` // the engine's name for it; else its path
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"` // when it was asked for
	// Answered tells that whoever was to make it has answered, with success or
	// not: until then it may come into being after a look has not found it.
	Answered bool `json:"answered"`
	// Left says why it could not be removed, and who holds it.
	Left string `json:"left,omitempty"`
}

// Content is what is on disk.
type Content struct {
	Schema   int             `json:"schema"`
	Name     string          `json:"name"`
	Identity json.RawMessage `json:"identity,omitempty"`
	Started  time.Time       `json:"started"`
	// Engine is the address of the engine that has the resources.
	Engine string `json:"engine,omitempty"`
	// Owner is the process that drives the job.
	Owner owner.Process `json:"owner"`
	// Ended tells that the job is over and its cleanup has begun.
	Ended bool `json:"ended,omitempty"`
	// Facts are what prepare learnt and run needs; the executor's own.
	Facts     json.RawMessage `json:"facts,omitempty"`
	Resources resources       `json:"resources"`
}

// mostResources is far more than a job has. It bounds the memory that a text takes: an
// empty resource is two bytes of it.
const mostResources = 10_000

// resources are at most mostResources where they are read.
type resources []Resource

func (l *resources) UnmarshalJSON(text []byte) error {
	if elements(text) > mostResources {
		return fmt.Errorf("it has more than %d resources", mostResources)
	}
	return json.Unmarshal(text, (*[]Resource)(l))
}

// elements counts those of a list in JSON; an empty list counts as one.
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

// Journal is one job's.
type Journal struct {
	path string
	mu   sync.Mutex
	file Content
	// written is what is on disk.
	written []byte
	// unread is why it is not known what is on disk, which then stays as it is.
	unread error
}

const (
	suffix      = ".json"
	asideSuffix = ".aside-"
	// nextSuffix is that of the next version while it is written. Older versions of
	// this program kept a spare file of that name.
	nextSuffix = ".spare"
)

// Path is where the journal of the named job is kept below dir.
func Path(dir, name string) string { return filepath.Join(dir, name+suffix) }

// Names lists the jobs that have a file below dir, or had one: whose next version or
// lock, by its suffix behind the journal's own, is still there.
func Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var names []string
	for _, e := range entries {
		// A name of ours holds no dot.
		if name, rest, ok := strings.Cut(e.Name(), suffix); ok && name != "" && !strings.HasPrefix(rest, asideSuffix) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Aside lists the files below dir that could not be understood.
func Aside(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+suffix+asideSuffix+"*"))
}

// Read is what the journal of the named job holds, and false when there is none.
// Nothing is changed; a file that cannot be understood is an error.
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

// mostBytes is far more than a journal with all that a job may have.
const mostBytes = 16 << 20

// read is a file's text, and one byte more than that where it has more.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	if info, err := f.Stat(); err == nil { // ReadAll would copy it again and again
		text.Grow(int(min(info.Size(), mostBytes)) + bytes.MinRead)
	}
	_, err = text.ReadFrom(io.LimitReader(f, mostBytes+1))
	return text.Bytes(), err
}

// parse understands the text of the named job's journal.
func parse(text []byte, name string) (c Content, err error) {
	if len(text) > mostBytes {
		return Content{}, fmt.Errorf("it has more than %d bytes", mostBytes)
	}
	if err := json.Unmarshal(text, &c); err != nil { // which may repeat much of the text
		return Content{}, errors.New(fault.Brief(err.Error()))
	}
	if c.Schema != Schema || c.Name != name {
		return Content{}, fmt.Errorf("schema %d of job %s, want %d of %q", c.Schema, fault.Quote(c.Name), Schema, name)
	}
	return c, nil
}

// Open reads the journal of the named job, or starts an empty one, which is
// written with its first record. A file that cannot be understood is set aside
// beside it and reported in aside; the journal is then empty. With an error it is
// empty, too, and nothing changes what is on disk: each method that would gives the
// error again.
func Open(dir, name string) (j *Journal, aside string, err error) {
	j = &Journal{path: Path(dir, name), file: Content{Schema: Schema, Name: name}}
	c, there, err := Read(dir, name)
	switch {
	case err != nil && there:
		aside = j.path + asideSuffix + time.Now().UTC().Format("20060102T150405.000000000")
		if err := os.Rename(j.path, aside); err != nil {
			j.unread = fmt.Errorf("journal: setting aside: %w", err)
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

// Content is what the journal holds now.
func (j *Journal) Content() Content {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.file
	f.Resources = slices.Clone(f.Resources)
	return f
}

// Exists tells whether anything was ever written down and not yet forgotten.
func (j *Journal) Exists() bool {
	_, err := os.Stat(j.path)
	return err == nil
}

// Touch notes that a stage of the job begins: the file's time of modification tells
// when the journal was last written or a stage began.
func (j *Journal) Touch() {
	now := time.Now()
	_ = os.Chtimes(j.path, now, now) // only gc's caution depends on it, and it looks at the owner, too
}

// Begin writes down the job's identity, its owner and the engine, with the
// resources that are about to be created for it, in one record: the first of a
// journal.
func (j *Journal) Begin(identity any, by owner.Process, engine string, intended ...Resource) error {
	text, err := json.Marshal(identity)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return j.change(func(f *Content) {
		f.Identity, f.Owner, f.Engine, f.Started, f.Ended = text, by, engine, time.Now().UTC(), false
		f.intend(intended)
	})
}

// Intend writes down that resources are about to be created.
func (j *Journal) Intend(resources ...Resource) error {
	return j.change(func(f *Content) { f.intend(resources) })
}

// Answered notes that whoever was to make a resource has answered. It reaches
// the disk with the next change or Flush: lost, it costs a cleanup a second look.
func (j *Journal) Answered(kind Kind, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.file.find(kind, name); i >= 0 {
		j.file.Resources[i].Answered = true
	}
}

// Made writes down that a resource was made, and by which ID the engine knows it.
func (j *Journal) Made(kind Kind, name, id string) error {
	return j.change(func(f *Content) {
		if i := f.find(kind, name); i >= 0 {
			f.Resources[i].Answered, f.Resources[i].Detail = true, id
		}
	})
}

// End writes down that the job is over.
func (j *Journal) End() error {
	return j.change(func(f *Content) { f.Ended = true })
}

// Left writes down why a resource could not be removed.
func (j *Journal) Left(r Resource) error {
	return j.change(func(f *Content) {
		f.intend([]Resource{r})
		f.Resources[f.find(r.Kind, r.Name)].Left = r.Left
	})
}

// Strike writes down that resources are gone.
func (j *Journal) Strike(kind Kind, names ...string) error {
	return j.change(func(f *Content) {
		f.Resources = slices.DeleteFunc(f.Resources, func(r Resource) bool { return r.Kind == kind && slices.Contains(names, r.Name) })
	})
}

// SetFacts writes down what later stages need to know.
func (j *Journal) SetFacts(facts any) error {
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return j.change(func(f *Content) { f.Facts = text })
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
func (j *Journal) Resources() []Resource { return j.Content().Resources }

// Forget removes the journal of a job of which nothing is left.
func (j *Journal) Forget() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unread != nil {
		return j.unread
	}
	seam()
	for _, path := range []string{j.path, j.path + nextSuffix} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("journal: %w", err)
		}
		seam()
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

// Flush writes what has not reached the disk yet.
func (j *Journal) Flush() error { return j.change(func(*Content) {}) }

// change makes a change and writes it, unless the disk has it already: a write
// costs a flush.
func (j *Journal) change(edit func(*Content)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	edit(&j.file)
	if j.unread != nil {
		return j.unread
	}
	text, err := json.MarshalIndent(j.file, "", "  ")
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if bytes.Equal(text, j.written) {
		return nil
	}
	seam()
	if err := replace(j.path, append(text, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.written = text
	seam()
	return nil
}
