package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

// Phase is what a job is at.
type Phase string

// The phases of a job.
const (
	Preparing Phase = "prepare"
	Running   Phase = "stage"   // one of its stages runs
	Waiting   Phase = "waiting" // for its next stage
	Cleaning  Phase = "cleanup" // it is over, and its cleanup has begun
	Orphaned  Phase = "orphan"  // the process that drove it is gone: gc removes it
)

// JobState is what one job on this machine is at. Sizes are bytes.
type JobState struct {
	Identity
	Name  string `json:"name"`
	Phase Phase  `json:"phase"`
	// Stage is the Runner's name of the one that runs, or ran last.
	Stage string `json:"stage,omitempty"`
	// Since is when the phase or stage began; Started is when the job did. Zero when
	// that is not known.
	Since   time.Time `json:"since"`
	Started time.Time `json:"started"`
	// Driver is the process that drives the job, and whether it lives: "yes", "no", or
	// "unknown" where it cannot be seen from here.
	Driver      owner.Process `json:"driver"`
	DriverLives string        `json:"driver_lives"`

	Container string   `json:"container,omitempty"` // ID
	Image     string   `json:"image,omitempty"`
	Services  []string `json:"services,omitempty"` // containers by name
	// Left is what a cleanup could not remove, and why.
	Left []string `json:"left,omitempty"`

	Storage *StorageState `json:"storage,omitempty"`
}

// StorageState is what a job has of storage. Sizes are bytes, without what the file
// system takes for itself.
type StorageState struct {
	Backend string `json:"backend"`
	Driver  string `json:"driver"`
	Used    int64  `json:"used"`
	Peak    int64  `json:"peak"`  // as far as it was seen
	Limit   int64  `json:"limit"` // 0: none
}

// stageNote is in a job's folder while it has one.
type stageNote struct {
	Stage string    `json:"stage"`
	Since time.Time `json:"since"`
}

func (x *Executor) stagePath(name string) string {
	return filepath.Join(x.state().Job(name), "stage.json")
}

// setStage notes which stage begins. It is for people to see: nothing depends on
// it, so it is not flushed, and a disk that is full is no trouble.
func (x *Executor) setStage(name, stage string) {
	text, err := json.Marshal(stageNote{stage, time.Now().UTC()})
	if err == nil {
		_ = os.WriteFile(x.stagePath(name), append(text, '\n'), 0o644)
	}
}

// Jobs lists all jobs that have something on this machine or its engine, the
// longest there first. It changes nothing. With an error it gives what is known
// without the engine.
func (x *Executor) Jobs(ctx context.Context) ([]JobState, error) {
	e := x.removal()
	found, engineErr := e.All(ctx, "")
	names, err := e.Written()
	if err != nil {
		return nil, errors.Join(err, engineErr)
	}
	for name := range found {
		names[name] = true
	}
	var all []JobState
	for name := range maps.Keys(names) {
		if s, ok := x.jobState(name, found[name]); ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b JobState) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Name, b.Name)) })
	return all, engineErr
}

// jobState puts together what is known of one job; false when it has just gone.
func (x *Executor) jobState(name string, found []removal.Resource) (JobState, bool) {
	s := JobState{Name: name, DriverLives: "unknown"}
	content, there, err := journal.Read(x.state().Journals(), name)
	if !there && len(found) == 0 && !exists(x.state().Job(name)) {
		return s, false
	}
	var f job.Environment
	if there && err == nil {
		_ = json.Unmarshal(content.Identity, &s.Identity)
		_ = json.Unmarshal(content.Facts, &f) // prepare has not written them yet
		s.Started, s.Driver = content.Started, content.Owner
		s.Container, s.Image = f.Container, f.Image
		for _, r := range content.Resources {
			if r.Left != "" {
				s.Left = append(s.Left, string(r.Kind)+" "+r.Name+": "+r.Left)
			}
		}
	}
	for _, r := range found {
		s.fromLabels(r)
	}
	var note stageNote
	if text, err := os.ReadFile(x.stagePath(name)); err == nil {
		_ = json.Unmarshal(text, &note) // half written: it has just begun
	}
	s.Stage, s.Since = note.Stage, s.Started
	switch {
	case content.Ended:
		s.Phase = Cleaning
	case f.Container == "":
		s.Phase = Preparing
	case x.state().Used(name):
		s.Phase, s.Since = Running, note.Since
	default:
		s.Phase = Waiting
	}
	switch s.Driver.State(there && err == nil) {
	case owner.Alive:
		s.DriverLives = "yes"
	case owner.Ended:
		s.DriverLives = "no"
		if s.Phase != Running { // else another one has taken it over
			s.Phase = Orphaned
		}
	}
	s.Storage = x.storageState(name)
	return s, true
}

// fromLabels takes what the engine says, where the journal says nothing.
func (s *JobState) fromLabels(r removal.Resource) {
	number := func(label string) int64 { n, _ := strconv.ParseInt(r.Labels[label], 10, 64); return n }
	if s.JobID == 0 {
		i := Identity{
			Server: r.Labels[job.LabelServer], RunnerID: number(job.LabelRunner), ProjectID: number(job.LabelProject),
			PipelineID: number(job.LabelPipeline), JobID: number(job.LabelJob),
		}
		if i.Name() == s.Name { // else it is not what the name was made of
			s.Identity = i
		}
	}
	if s.Driver.PID == 0 {
		s.Driver = owner.Parse(r.Labels[job.LabelOwner])
	}
	if s.Started.IsZero() {
		s.Started = r.Made // to the second, and the journal is older than any of them
	}
	if r.Kind != journal.Container {
		return
	}
	switch job.Role(r.Labels[job.LabelRole]) {
	case job.RoleBuild:
		s.Container = r.ID
	case job.RoleService:
		s.Services = append(s.Services, r.Name)
	}
}

func (x *Executor) storageState(name string) *StorageState {
	v, err := x.VolumeState(name)
	if err != nil {
		return nil
	}
	used := v.Now()
	s := &StorageState{Backend: v.Backend, Driver: v.Driver, Used: max(0, used-v.Base), Peak: max(0, max(v.Peak, used)-v.Base)}
	if v.Hard {
		s.Limit = v.Limit
	}
	return s
}

// HostState is what all jobs together have on this machine. Sizes are bytes.
type HostState struct {
	Jobs []JobState
	// Disk is where volumes of jobs get their blocks from, of which running jobs
	// may still take Claimed in all.
	Disk    storage.Pool
	Claimed int64
	Kept    []kept.Volume // with sizes where asked for
	// Aside counts folders and journals that were set aside.
	Aside int
}

// Host looks at the whole machine; folder is where images of volumes are. Sizes of
// kept volumes cost a walk through those that were used since they were measured.
func (x *Executor) Host(ctx context.Context, folder string, sizes bool) (h HostState, err error) {
	if h.Jobs, err = x.Jobs(ctx); err != nil {
		return h, err
	}
	for dir := folder; ; dir = filepath.Dir(dir) { // it is made with the first job
		h.Disk, err = storage.DiskPool(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
	}
	if err != nil {
		return h, err
	}
	claims, err := x.claims("")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	for _, c := range claims {
		if c.Pool == h.Disk.ID {
			h.Claimed += c.Open()
		}
	}
	if h.Kept, err = x.Kept().List(ctx); err != nil {
		return h, err
	}
	if sizes && len(h.Kept) > 0 {
		if err := x.Kept().Measure(ctx, h.Kept, true); err != nil {
			return h, err
		}
	}
	folders, _ := filepath.Glob(filepath.Join(x.state().Aside(), "gsx-*"))
	journals, _ := journal.Aside(x.state().Journals())
	h.Aside = len(folders) + len(journals)
	return h, nil
}
