package removal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

// ErrBusy tells that another gc is at work.
var ErrBusy = errors.New("another gc is at work on this machine")

// Options say what gc is to do.
type Options struct {
	DryRun    bool          // only report
	OlderThan time.Duration // what was used within this time is kept
	Each      time.Duration // bounds the removal of one job; zero: as a cleanup
}

// Action is what gc did.
type Action string

// The actions.
const (
	Removed     Action = "removed"
	WouldRemove Action = "would remove"
	Kept        Action = "kept"
	LeftOver    Action = "left"
)

// Collected is one job, or one resource that is no job's, as gc found it.
type Collected struct {
	Name      string   `json:"name"`
	Action    Action   `json:"action"`
	Reason    string   `json:"reason"`
	Resources []string `json:"resources,omitempty"` // kind and name
}

// Remover removes one thing that jobs can do without, and returns its size in bytes as
// far as that is known. In a dry run it only says what it would do.
type Remover func(context.Context) (c Collected, size int64)

// Collect removes the jobs that run no more: a job runs while its owner process
// lives or one of its stages does. The caller holds the lock of gc.
func (e *Engine) Collect(ctx context.Context, o Options) ([]Collected, error) {
	if !o.DryRun {
		e.Dir.CorrectTimes()
	}
	found, err := e.All(ctx, "")
	if err != nil {
		return nil, err
	}
	names, err := e.Written()
	if err != nil {
		return nil, err
	}
	for name := range found {
		if _, written := names[name]; !written {
			names[name] = false // there is nothing of it below our state folder
		}
	}
	var all []Collected
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ctx.Err() != nil {
			return all, fmt.Errorf("gc was ended: %w", context.Cause(ctx))
		}
		collect := e.collect
		if !names[name] {
			collect = e.collectUnwritten
		}
		if c := collect(ctx, name, found[name], o); c != nil {
			all = append(all, *c)
		}
	}
	return all, nil
}

// Written are the jobs that have something below the state folder.
func (e *Engine) Written() (map[string]bool, error) {
	written, err := journal.Names(e.Dir.Journals())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(e.Dir.Jobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gc: %w", err)
	}
	for _, entry := range entries {
		written = append(written, entry.Name())
	}
	names := map[string]bool{}
	for _, name := range written {
		if job.ValidName(name) {
			names[name] = true
		}
	}
	return names, nil
}

// collectUnwritten is collect for a job that has nothing below the state folder. One
// that lives gets no lock, which would be a file there.
func (e *Engine) collectUnwritten(ctx context.Context, name string, _ []Resource, o Options) *Collected {
	found, err := e.All(ctx, name)
	if err != nil {
		return &Collected{Name: name, Action: Kept, Reason: err.Error()}
	}
	if len(found[name]) == 0 {
		return nil
	}
	if alive, why := e.lives(name, found[name], o.OlderThan); alive {
		return &Collected{Name: name, Action: Kept, Reason: why}
	}
	return e.collect(ctx, name, found[name], o)
}

// collect removes one job that runs no more; nil when there is nothing to report.
func (e *Engine) collect(ctx context.Context, name string, found []Resource, o Options) *Collected {
	c := &Collected{Name: name, Action: Kept}
	// From here on no prepare of this job begins, and no cleanup is at work on it.
	unlock, ok, err := e.Dir.TryLock(name)
	switch {
	case err != nil:
		c.Reason = err.Error()
		return c
	case !ok:
		c.Reason = "a cleanup of it is at work"
		return c
	}
	defer unlock()
	written := exists(e.Dir.Journal(name))
	if !written { // a cleanup may have ended since the list was made
		all, err := e.All(ctx, name)
		if err != nil {
			c.Reason = err.Error()
			return c
		}
		found = all[name]
	}
	var alive bool
	if alive, c.Reason = e.lives(name, found, o.OlderThan); alive {
		return c
	}
	c.Resources = e.held(name, found)
	// What a cleanup leaves that dies in its last step is removed without a report.
	nothing := !written && len(c.Resources) == 0
	switch {
	case o.DryRun && nothing:
		return nil
	case o.DryRun:
		c.Action = WouldRemove
		return c
	}
	return e.clearCollected(ctx, c, nothing, o)
}

func (e *Engine) clearCollected(ctx context.Context, c *Collected, nothing bool, o Options) *Collected {
	if o.Each == 0 {
		o.Each = e.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Each)
	defer cancel()
	left, err := e.clearLocked(ctx, c.Name, nil)
	if err != nil {
		c.Action, c.Reason = LeftOver, err.Error()
		return c
	}
	if nothing && len(left) == 0 {
		return nil
	}
	c.Action = Removed
	var reasons []string
	for _, l := range left {
		reasons = append(reasons, fmt.Sprintf("%s %s: %s", l.Kind, l.Name, l.Left))
	}
	if len(reasons) > 0 {
		c.Action, c.Reason = LeftOver, strings.Join(reasons, "; ")
	}
	return c
}

// held names what there is of a job.
func (e *Engine) held(name string, found []Resource) []string {
	var all []string
	add := func(kind journal.Kind, name string) { all = append(all, string(kind)+" "+name) }
	for _, r := range found {
		add(r.Kind, r.Name)
	}
	if content, there, err := journal.Read(e.Dir.Journals(), name); err == nil && there {
		for _, r := range content.Resources {
			if r.Answered || !e.asked(r.Kind) {
				add(r.Kind, r.Name)
			}
		}
	}
	if folder := e.Dir.Job(name); exists(folder) {
		add(journal.Folder, folder)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
