package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// unsureTime is how long a job has to lie still before it counts as dead when
// the process that drives it cannot be seen from here: no GitLab job lasts longer
// than its time-out, and hardly one's is longer than this.
const unsureTime = 24 * time.Hour

// asideTime is how long a journal that could not be read is kept for a person.
const asideTime = 7 * 24 * time.Hour

// ErrBusy tells that another gc is at work.
var ErrBusy = errors.New("another gc is at work on this machine")

// GCOptions say what GC is to do.
type GCOptions struct {
	DryRun    bool          // only tell
	OlderThan time.Duration // what was used within this time is kept
	Each      time.Duration // bounds the removal of one job; zero: as a cleanup
}

// Action is what GC did with a thing.
type Action string

// The actions.
const (
	Removed     Action = "removed"
	WouldRemove Action = "would remove"
	Kept        Action = "kept"
	LeftOver    Action = "left"
)

// Collected is one job, or one thing that is no job's, as GC found it.
type Collected struct {
	Name      string   `json:"name"`
	Action    Action   `json:"action"`
	Reason    string   `json:"reason"`
	Resources []string `json:"resources,omitempty"` // kind and name
}

// GC removes what belongs to no running job: by labels, journals and the folders
// below the state folder. A job runs while the process that drives it lives or
// one of its stages does. Nothing without our labels, and nothing outside the
// state folder, is touched. It is safe beside prepare, run, cleanup and other
// gcs; ErrBusy when one of these is at work.
func (x *Executor) GC(ctx context.Context, o GCOptions) ([]Collected, error) {
	unlock, ok, err := x.state().TryLockGC()
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	} else if !ok {
		return nil, ErrBusy
	}
	defer unlock()
	found, err := x.findThings(ctx, "")
	if err != nil {
		return nil, err
	}
	names, err := x.jobNames()
	if err != nil {
		return nil, err
	}
	for name := range found {
		if !names[name] {
			names[name] = false // there is nothing of it below our state folder
		}
	}
	var all []Collected
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ctx.Err() != nil {
			return all, fmt.Errorf("gc was ended: %w", context.Cause(ctx))
		}
		if c := x.collect(ctx, name, names[name], found[name], o); c != nil {
			all = append(all, *c)
		}
	}
	all = append(all, x.collectAside(ctx, o)...)
	kept, err := x.collectKept(ctx, o)
	trimmed, trimErr := x.collectCacheMounts(ctx, o)
	shared, sharedErr := x.collectImages(ctx, o)
	return slices.Concat(all, kept, trimmed, shared), errors.Join(err, trimErr, sharedErr)
}

// thing is a resource that the engine holds, with our labels.
type thing struct {
	kind journal.Kind
	engine.Found
}

// findThings lists what of the only job asked for, or of all jobs where it is empty, there is
// on the engine, by the jobs' names.
func (x *Executor) findThings(ctx context.Context, only string) (map[string][]thing, error) {
	all := map[string][]thing{}
	for kind, list := range map[journal.Kind]func(context.Context, string, string) ([]engine.Found, error){
		journal.Container: x.Engine.FindContainers,
		journal.Network:   x.Engine.FindNetworks,
		journal.Volume:    x.Engine.FindVolumes,
	} {
		found, err := list(ctx, job.LabelName, only)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if name := f.Labels[job.LabelName]; belongs(f, name) {
				all[name] = append(all[name], thing{kind, f})
			}
		}
	}
	return all, nil
}

// jobNames are the jobs that have something below the state folder.
func (x *Executor) jobNames() (map[string]bool, error) {
	written, err := journal.Names(x.state().Journals())
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, name := range written {
		names[name] = job.ValidName(name)
	}
	entries, err := os.ReadDir(x.state().Jobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gc: %w", err)
	}
	for _, e := range entries {
		names[e.Name()] = job.ValidName(e.Name())
	}
	maps.DeleteFunc(names, func(_ string, ours bool) bool { return !ours })
	return names, nil
}

// collect removes one job that runs no more; nil when there is nothing to tell.
// Ours tells that there is something of it below the state folder.
func (x *Executor) collect(ctx context.Context, name string, ours bool, found []thing, o GCOptions) *Collected {
	c := &Collected{Name: name, Action: Kept}
	var alive bool
	if !ours { // one that lives gets no lock, which is a file
		things, err := x.findThings(ctx, name)
		if err != nil {
			c.Reason = err.Error()
			return c
		}
		if len(things[name]) == 0 {
			return nil
		}
		if alive, c.Reason = x.lives(name, things[name], o.OlderThan); alive {
			return c
		}
	}
	// From here on no prepare of this job begins, and no cleanup is at work on it.
	unlock, ok, err := x.state().TryLock(name)
	switch {
	case err != nil:
		c.Reason = err.Error()
		return c
	case !ok:
		c.Reason = "a clean-up of it is at work"
		return c
	}
	defer unlock()
	written := exists(x.state().Journal(name))
	if !written { // a cleanup may have ended since the list was made
		things, err := x.findThings(ctx, name)
		if err != nil {
			c.Reason = err.Error()
			return c
		}
		found = things[name]
	}
	if alive, c.Reason = x.lives(name, found, o.OlderThan); alive {
		return c
	}
	c.Resources = x.held(name, found)
	// What a cleanup leaves that dies at its very end is removed without a word.
	nothing := !written && len(c.Resources) == 0
	if o.DryRun && nothing {
		return nil
	} else if o.DryRun {
		c.Action = WouldRemove
		return c
	}
	if o.Each == 0 {
		o.Each = x.CleanupTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Each)
	defer cancel()
	left, err := x.clearLocked(ctx, name, nil)
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

// lives tells whether the named job still runs, or is too young to be sure, and
// why. The job's lock is held.
func (x *Executor) lives(name string, found []thing, olderThan time.Duration) (bool, string) {
	if x.state().Used(name) {
		return true, "one of its stages runs"
	}
	content, there, err := journal.Read(x.state().Journals(), name)
	if err != nil && !there {
		return true, err.Error()
	}
	ours := there || exists(x.state().Job(name))
	var owner journal.Process
	var last time.Time
	over := ""
	if there && err == nil {
		if content.Engine != "" && !sameHost(content.Engine, x.Engine.Host()) {
			return true, "it is on the engine at " + content.Engine
		}
		owner = content.Owner
		last, _ = statedir.LastUse(x.state().Journal(name))
		if content.Ended {
			over = "its cleanup did not finish"
		}
	} else {
		for _, f := range found {
			if f.Made.After(last) {
				last = f.Made
			}
			if p := journal.ParseProcess(f.Labels[job.LabelOwner]); p.State(ours) == journal.Alive {
				owner = p
			} else if owner.PID == 0 {
				owner = p
			}
		}
		others := func(f thing) bool {
			return f.Labels[job.LabelState] == "" || f.Labels[job.LabelState] != x.state().ID()
		}
		switch { // a journal comes first
		case len(found) == 0:
			over = "it has no journal that can be read, and nothing on the engine"
		case ours || slices.ContainsFunc(found, others):
		case owner.State(ours) == journal.Alive: // else the number of our folder may be another machine's
			over = "its cleanup has ended, and the engine made it later"
		}
	}
	idle := idleSince(last, owner)
	if over == "" {
		switch owner.State(ours) {
		case journal.Alive:
			return true, fmt.Sprintf("the process that drives it lives: %d (%s)", owner.PID, owner.Command)
		case journal.Ended:
			over = fmt.Sprintf("the process that drove it has ended: %d (%s)", owner.PID, owner.Command)
		case journal.Unknown:
			over = "nothing has been heard of it for a day"
			olderThan = max(olderThan, unsureTime)
		}
	}
	if olderThan > 0 && idle < olderThan {
		return true, fmt.Sprintf("used %s ago", max(idle, 0).Round(time.Second))
	}
	return false, over
}

// idleSince is how long ago last was, and no longer than the job has been there by
// a clock that nobody sets: one that was set ahead makes all things look old.
func idleSince(last time.Time, owner journal.Process) time.Duration {
	idle := time.Since(last)
	if age, known := owner.Age(); known && (idle < 0 || idle > age) {
		return age
	}
	return idle
}

// held names what there is of a job.
func (x *Executor) held(name string, found []thing) []string {
	var all []string
	for _, f := range found {
		all = append(all, string(f.kind)+" "+f.Name)
	}
	if content, there, err := journal.Read(x.state().Journals(), name); err == nil && there {
		for _, r := range content.Resources {
			if !engineKind(r.Kind) || isAnonymous(r) {
				all = append(all, string(r.Kind)+" "+r.Name)
			}
		}
	}
	if folder := x.state().Job(name); exists(folder) {
		all = append(all, string(journal.Folder)+" "+folder)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// collectAside removes what was set aside and is in no journal: folders whose
// journal was lost, and journals that could not be read.
func (x *Executor) collectAside(ctx context.Context, o GCOptions) []Collected {
	mentioned := map[string]bool{}
	names, _ := journal.Names(x.state().Journals()) // what cannot be read is reported above
	for _, name := range names {
		if content, there, err := journal.Read(x.state().Journals(), name); err == nil && there {
			for _, r := range content.Resources {
				mentioned[r.Name] = true
			}
		}
	}
	var all []Collected
	look := func(path, reason string, keep time.Duration) {
		last, err := statedir.LastUse(path)
		if err != nil || mentioned[path] {
			return
		}
		c := Collected{Name: path, Action: Kept, Reason: reason}
		switch {
		case time.Since(last) < max(keep, o.OlderThan):
		case o.DryRun:
			c.Action = WouldRemove
		default:
			c.Action = Removed
			short, cancel := context.WithTimeout(ctx, cmp.Or(o.Each, x.CleanupTimeout))
			defer cancel()
			if err := teardown.RemoveFolder(short, path); err != nil {
				c.Action, c.Reason = LeftOver, err.Error()
			}
		}
		all = append(all, c)
	}
	folders, _ := filepath.Glob(filepath.Join(x.state().Aside(), "gsx-*"))
	for _, path := range folders {
		look(path, "a folder that was set aside", 0)
	}
	journals, _ := journal.Aside(x.state().Journals())
	for _, path := range journals {
		look(path, fmt.Sprintf("a journal that could not be read, kept for %s", asideTime), asideTime)
	}
	return all
}

// sweep is the GC that prepare does beside its own work, if none was done for as
// long as the interval. It is bounded to a few seconds, and its troubles are not
// the job's. The returned function waits for its end.
func (x *Executor) sweep(ctx context.Context) (wait func()) {
	info, err := os.Stat(x.state().GC())
	if x.GCInterval <= 0 || err == nil && time.Since(info.ModTime()).Abs() < x.GCInterval {
		return func() {}
	}
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	go func() {
		defer close(done)
		all, err := x.GC(ctx, GCOptions{Each: sweepTime})
		if err != nil {
			x.Log.Debugf("gc beside prepare: %v", err)
		}
		// Other projects' jobs are nothing for this one's log.
		counts := map[Action]int{}
		for _, c := range all {
			counts[c.Action]++
		}
		x.Log.Debugf("gc beside prepare: %d removed, %d kept, %d left", counts[Removed], counts[Kept], counts[LeftOver])
	}()
	return func() {
		defer cancel()
		select {
		case <-done:
		case <-ctx.Done(): // something keeps it that does not end with its time
		}
	}
}

// sweepTime bounds the gc that prepare does.
var sweepTime = 5 * time.Second
