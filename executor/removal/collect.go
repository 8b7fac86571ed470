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

// ErrBusy means that another gc is running.
var ErrBusy = errors.New("another gc is at work on this machine")

// Options are the settings of a gc.
type Options struct {
	DryRun    bool          // only report
	OlderThan time.Duration // keep what was used within this time
	Each      time.Duration // limit for the removal of one job; zero: the same as a cleanup's
}

// Action is what gc did with a job or resource.
type Action string

// The actions.
const (
	Removed     Action = "removed"
	WouldRemove Action = "would remove"
	Kept        Action = "kept"
	LeftOver    Action = "left"
)

// Collected is the result of gc for one job, or for one resource that belongs to no job.
type Collected struct {
	Name      string   `json:"name"`
	Action    Action   `json:"action"`
	Reason    string   `json:"reason"`
	Resources []string `json:"resources,omitempty"` // kind and name of each
}

// Remover removes a resource that jobs do not need, and returns its size in bytes if it is
// known. In a dry run it only returns what it would do.
type Remover func(context.Context) (c Collected, size int64)

// Collect removes jobs that no longer run. A job runs while its owner process lives or one
// of its stages runs. The caller holds the lock of gc.
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
			names[name] = false // it has no files in our state folder
		}
	}
	var all []Collected
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ctx.Err() != nil {
			return all, fmt.Errorf("gc was stopped: %w", context.Cause(ctx))
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

// Written returns the jobs that have files in the state folder.
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

// collectUnwritten is collect for a job without files in the state folder. The lock is a
// file there, so a job that still runs is not locked.
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

// collect removes one job if it no longer runs; nil if there is nothing to report.
func (e *Engine) collect(ctx context.Context, name string, found []Resource, o Options) *Collected {
	c := &Collected{Name: name, Action: Kept}
	// While the lock is held, no prepare of this job begins and no cleanup of it runs.
	unlock, ok, err := e.Dir.TryLock(name)
	switch {
	case err != nil:
		c.Reason = err.Error()
		return c
	case !ok:
		c.Reason = "a cleanup of it is running"
		return c
	}
	defer unlock()
	written := exists(e.Dir.Journal(name))
	if !written { // a cleanup may have ended since the resources were listed
		all, err := e.All(ctx, name)
		if err != nil {
			c.Reason = err.Error()
			return c
		}
		found = all[name]
	}
	if left := e.keptFor(name); left > 0 {
		c.Reason = fmt.Sprintf("it is kept for another %s (try --keep)", left.Round(time.Second))
		return c
	}
	var alive bool
	if alive, c.Reason = e.lives(name, found, o.OlderThan); alive {
		return c
	}
	c.Resources = e.held(name, found)
	// The remains of a cleanup that was killed in its last step are removed without a report.
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
	if e.Over != nil {
		e.Over(ctx, c.Name)
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

// held names the resources and files of a job.
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
