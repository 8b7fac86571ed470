// Package host has the kinds of a job's resources that are on this machine and need no
// engine: its folder, loop devices, and the engine's paths that a process holds.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// round bounds one attempt to remove a resource with system calls.
const round = 3 * time.Second

// Folders are the jobs' folders below the state folder and in quarantine.
type Folders struct{ Dir statedir.Dir }

// Name implements [removal.Kind].
func (Folders) Name() journal.Kind { return journal.Folder }

// Traits implements [removal.Kind].
func (Folders) Traits() removal.Traits { return removal.Traits{Round: round} }

// List returns the folder of the named job. [removal.Engine.Written] lists the folders of all
// jobs.
func (f Folders) List(_ context.Context, job string) ([]removal.Resource, error) {
	path := f.Dir.Job(job)
	if _, err := os.Lstat(path); job == "" || err != nil {
		return nil, nil
	}
	return []removal.Resource{f.resource(job, path)}, nil
}

func (Folders) resource(job, path string) removal.Resource {
	return removal.Resource{Resource: journal.Resource{Kind: journal.Folder, Name: path, Answered: true}, Job: job, ID: path, Path: true}
}

// Adopt returns a folder in quarantine.
func (f Folders) Adopt(_ context.Context, job string, noted journal.Resource) (removal.Resource, bool, error) {
	if _, err := os.Lstat(noted.Name); errors.Is(err, os.ErrNotExist) {
		return removal.Resource{}, false, nil
	}
	r := f.resource(job, noted.Name)
	r.Resource = noted
	return r, true, nil
}

// Examine implements [removal.Kind].
func (Folders) Examine(context.Context, *removal.Resource, removal.Recorder) {}

// Remove removes the folder with its mounts and files.
func (f Folders) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	if !f.Dir.Holds(r.ID) {
		return errors.New("not below the state folder")
	}
	return teardown.RemoveFolder(ctx, r.ID)
}

// Users implements [removal.Kind].
func (Folders) Users(context.Context, removal.Resource) []string { return nil }

// Quarantine moves a folder that cannot be removed to the quarantine, so that the job's next
// attempt can use the path.
func (f Folders) Quarantine(r removal.Resource, rec removal.Recorder) removal.Resource {
	if filepath.Dir(r.ID) == f.Dir.Aside() || !f.Dir.Holds(r.ID) {
		return r
	}
	moved := r
	moved.ID = filepath.Join(f.Dir.Aside(), fmt.Sprintf("%s-%d", r.Job, time.Now().UnixNano()))
	moved.Name = moved.ID
	if os.MkdirAll(f.Dir.Aside(), 0o700) != nil || rec.Intend(moved.Resource) != nil {
		return r
	}
	if os.Rename(r.ID, moved.ID) != nil {
		_ = rec.Strike(moved.Kind, moved.Name) // the folder is gone, so the next removal deletes the entry
		return r
	}
	_ = rec.Strike(r.Kind, r.Name)
	return moved
}
