// Package overview shows what jobs have on this machine and its engine, for people and
// for monitoring. It changes nothing.
package overview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// Reader looks at what there is. Its methods may be called concurrently.
type Reader struct {
	Dir     statedir.Dir
	Removal *removal.Engine
	Kept    *kept.Store
	Log     logrus.FieldLogger
}

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
	job.Identity
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

// Jobs lists all jobs that have something on this machine or its engine, the
// longest there first. It changes nothing. With an error it gives what is known
// without the engine.
func (r *Reader) Jobs(ctx context.Context) ([]JobState, error) {
	e := r.Removal
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
		if s, ok := r.jobState(name, found[name]); ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b JobState) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Name, b.Name)) })
	return all, engineErr
}

// jobState puts together what is known of one job; false when it has just gone.
func (r *Reader) jobState(name string, found []removal.Resource) (JobState, bool) {
	s := JobState{Name: name, DriverLives: "unknown"}
	content, there, err := journal.Read(r.Dir.Journals(), name)
	if !there && len(found) == 0 && !r.Dir.HasJob(name) {
		return s, false
	}
	var f job.Environment
	if there && err == nil {
		_ = json.Unmarshal(content.Identity, &s.Identity)
		_ = json.Unmarshal(content.Facts, &f) // prepare has not written them yet
		s.Started, s.Driver = content.Started, content.Owner
		s.Container, s.Image = f.Container, f.Image
		for _, left := range content.Resources {
			if left.Left != "" {
				s.Left = append(s.Left, string(left.Kind)+" "+left.Name+": "+left.Left)
			}
		}
	}
	for _, f := range found {
		s.fromLabels(f)
	}
	stage, since := r.Dir.Stage(name)
	s.Stage, s.Since = stage, s.Started
	switch {
	case content.Ended:
		s.Phase = Cleaning
	case f.Container == "":
		s.Phase = Preparing
	case r.Dir.Used(name):
		s.Phase, s.Since = Running, since
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
	s.Storage = r.storageState(name)
	return s, true
}

// fromLabels takes what the engine says, where the journal says nothing.
func (s *JobState) fromLabels(r removal.Resource) {
	number := func(label string) int64 { n, _ := strconv.ParseInt(r.Labels[label], 10, 64); return n }
	if s.JobID == 0 {
		i := job.Identity{
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

func (r *Reader) storageState(name string) *StorageState {
	v, err := storage.ReadState(r.Dir.Job(name))
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
func (r *Reader) Host(ctx context.Context, folder string, sizes bool) (h HostState, err error) {
	if h.Jobs, err = r.Jobs(ctx); err != nil {
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
	claims, err := storage.Claims(r.Dir.Jobs(), "", r.Log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	for _, c := range claims {
		if c.Pool == h.Disk.ID {
			h.Claimed += c.Open()
		}
	}
	if h.Kept, err = r.Kept.List(ctx); err != nil {
		return h, err
	}
	if sizes && len(h.Kept) > 0 {
		if err := r.Kept.Measure(ctx, h.Kept, true); err != nil {
			return h, err
		}
	}
	folders, _ := filepath.Glob(filepath.Join(r.Dir.Aside(), "gsx-*"))
	journals, _ := journal.Aside(r.Dir.Journals())
	h.Aside = len(folders) + len(journals)
	return h, nil
}
