// Package overview lists the resources of jobs on this machine and its engine, for administrators and for
// monitoring. It changes nothing.
package overview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// Reader reads the state of this machine. Its methods are safe for concurrent use.
type Reader struct {
	Dir     statedir.Dir
	Removal *removal.Engine
	Kept    *kept.Store // nil if the backend keeps no volumes
	Log     logrus.FieldLogger
}

// Phase is the phase of a job.
type Phase string

// The phases of a job.
const (
	Preparing Phase = "prepare"
	Running   Phase = "stage"   // a stage runs
	Waiting   Phase = "waiting" // between two stages
	Kept      Phase = "kept"    // the job is over, and a person keeps it for a time
	Cleaning  Phase = "cleanup" // the job is over, and its cleanup has begun
	Orphaned  Phase = "orphan"  // its owner process has ended; gc removes the job
)

// JobState is the state of one job on this machine. Sizes are in bytes.
type JobState struct {
	job.Identity
	Name  string `json:"name"`
	Phase Phase  `json:"phase"`
	// Stage is the Runner's name of the stage that runs, or ran last.
	Stage string `json:"stage,omitempty"`
	// Since is the begin of the phase or stage, and Started the begin of the job; zero if
	// unknown.
	Since   time.Time `json:"since"`
	Started time.Time `json:"started"`
	// KeptUntil is the end of the phase Kept; zero in other phases.
	KeptUntil time.Time `json:"kept_until,omitzero"`
	// Driver is the owner process of the job, with its state: "yes", "no", or "unknown" if it
	// cannot be seen from here.
	Driver      owner.Process `json:"driver"`
	DriverLives string        `json:"driver_lives"`

	Container string   `json:"container,omitempty"` // ID
	Image     string   `json:"image,omitempty"`
	Services  []string `json:"services,omitempty"` // names of containers
	// Left are the leftovers of a cleanup, with the reasons.
	Left []string `json:"left,omitempty"`

	Storage *StorageState `json:"storage,omitempty"`
	// Disk describes the disk image of a storage volume that is kept for the project's next job.
	Disk *job.Disk `json:"disk,omitempty"`
}

// StorageState is a job's use of storage. Sizes are in bytes, without what the file system needs when it is
// empty.
type StorageState struct {
	Backend string `json:"backend"`
	Driver  string `json:"driver"`
	Used    int64  `json:"used"`
	Peak    int64  `json:"peak"`  // highest measured value
	Limit   int64  `json:"limit"` // 0: none
}

// Jobs lists all jobs with resources on this machine or its engine, oldest first. It changes nothing. If the
// engine returns an error, the list contains what is known without it.
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

// Find returns the state of the job with this number, as ps prints it, or with this name.
func (r *Reader) Find(ctx context.Context, wanted string) (JobState, error) {
	all, err := r.Jobs(ctx)
	if err != nil && len(all) == 0 {
		return JobState{}, err
	}
	found := slices.DeleteFunc(all, func(s JobState) bool { return s.Name != wanted && strconv.FormatInt(s.JobID, 10) != wanted })
	switch len(found) {
	case 0:
		return JobState{}, errors.Join(fmt.Errorf("this machine has no job %.100q: `gitlab-sysbox-executor ps` lists the jobs", wanted), err)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, s := range found {
		names = append(names, s.Name)
	}
	return JobState{}, fmt.Errorf("several GitLab instances have a job %s on this machine: name one of %s", wanted, strings.Join(names, ", "))
}

// jobState collects the state of one job; false if the job was just removed.
func (r *Reader) jobState(name string, found []removal.Resource) (JobState, bool) {
	s := JobState{Name: name, DriverLives: "unknown"}
	content, there, err := journal.Read(r.Dir.Journals(), name)
	if !there && len(found) == 0 && !r.Dir.HasJob(name) {
		return s, false
	}
	var f job.Environment
	if there && err == nil {
		_ = json.Unmarshal(content.Identity, &s.Identity)
		_ = json.Unmarshal(content.Facts, &f) // ignore errors: prepare may not have written them yet
		s.Started, s.Driver = content.Started, content.Owner
		s.Container, s.Image, s.Disk = f.Container, f.Image, f.Disk
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
		if s.Phase != Running { // otherwise a cleanup has begun
			s.Phase = Orphaned
		}
	}
	if left := content.Kept.Left(); left > 0 && !content.Ended {
		s.Phase, s.KeptUntil = Kept, time.Now().Add(left).Truncate(time.Second)
	}
	s.Storage = r.storageState(name)
	return s, true
}

// fromLabels takes values from the engine that the journal does not have.
func (s *JobState) fromLabels(r removal.Resource) {
	number := func(label string) int64 { n, _ := strconv.ParseInt(r.Labels[label], 10, 64); return n }
	if s.JobID == 0 {
		i := job.Identity{
			Server: r.Labels[job.LabelServer], RunnerID: number(job.LabelRunner), ProjectID: number(job.LabelProject),
			PipelineID: number(job.LabelPipeline), JobID: number(job.LabelJob),
		}
		if i.Name() == s.Name { // otherwise the labels do not match the name
			s.Identity = i
		}
	}
	if s.Driver.PID == 0 {
		s.Driver = owner.Parse(r.Labels[job.LabelOwner])
	}
	if s.Started.IsZero() {
		s.Started = r.Made // in whole seconds; the journal is older than all resources
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

// HostState is the use of this machine by all jobs. Sizes are in bytes.
type HostState struct {
	Jobs []JobState
	// Disk is the source of the blocks of the jobs' volumes. Running jobs may still take Claimed
	// bytes of it in total.
	Disk    storage.Pool
	Claimed int64
	Kept    []kept.Volume // with sizes if requested
	// Aside is the number of quarantined folders and journals.
	Aside int
}

// Host returns the state of the machine; folder has the images of volumes. To get the sizes of kept volumes,
// it has to read those that were used since they were last measured.
func (r *Reader) Host(ctx context.Context, folder string, sizes bool) (h HostState, err error) {
	if h.Jobs, err = r.Jobs(ctx); err != nil {
		return h, err
	}
	for dir := folder; ; dir = filepath.Dir(dir) { // the first job makes the folder
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
	if r.Kept != nil {
		if h.Kept, err = r.Kept.List(ctx); err != nil {
			return h, err
		}
	}
	if sizes && len(h.Kept) > 0 {
		if err := r.Kept.Measure(ctx, h.Kept, true); err != nil {
			return h, err
		}
	}
	folders, journals := removal.Quarantined(r.Dir)
	h.Aside = len(folders) + len(journals)
	return h, nil
}
