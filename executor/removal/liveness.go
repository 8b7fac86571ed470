package removal

import (
	"fmt"
	"os"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
)

// unsureTime is how long a job has to lie still before it counts as dead when its
// owner process cannot be seen from here: no GitLab job lasts longer than its
// time-out, and hardly one's is longer than this.
const unsureTime = 24 * time.Hour

// lives tells whether the named job still runs, or is too young to be sure, and why.
//
//  1. A stage of it runs: it lives.
//  2. Its journal or, without one, its labels name its owner process and its last use.
//  3. The owner process lives: so does the job. It has ended: the job is over.
//  4. The owner process cannot be seen from here: it is over after unsureTime.
func (e *Engine) lives(name string, found []Resource, olderThan time.Duration) (bool, string) {
	if e.Dir.Used(name) {
		return true, "one of its stages runs"
	}
	content, there, err := journal.Read(e.Dir.Journals(), name)
	if err != nil && !there {
		return true, err.Error()
	}
	// An owner process of another boot has ended with it, if this state folder is its own.
	ours := there || exists(e.Dir.Job(name))
	var by owner.Process
	var last time.Time
	over := ""
	if there && err == nil {
		if content.Engine != "" && !e.Backend.Same(content.Engine) {
			return true, "it is on the engine at " + content.Engine
		}
		by = content.Owner
		last, _ = statedir.LastUse(e.Dir.Journal(name))
		if content.Ended {
			over = "its cleanup did not finish"
		}
	} else {
		by, last = fromLabels(found, ours)
		switch { // a journal comes first
		case len(found) == 0:
			over = "it has no journal that can be read, and nothing on the engine"
		case ours || slices.ContainsFunc(found, e.othersState):
		case by.State(ours) == owner.Alive: // else the number of our folder may be another machine's
			over = "its cleanup has ended, and the engine made it later"
		}
	}
	idle := idleSince(last, by)
	if over == "" {
		switch by.State(ours) {
		case owner.Alive:
			return true, fmt.Sprintf("its owner process lives: %d (%s)", by.PID, by.Command)
		case owner.Ended:
			over = fmt.Sprintf("its owner process has ended: %d (%s)", by.PID, by.Command)
		case owner.Unknown:
			over = "no sign of life for 24h"
			olderThan = max(olderThan, unsureTime)
		}
	}
	if olderThan > 0 && idle < olderThan {
		return true, fmt.Sprintf("used %s ago", max(idle, 0).Round(time.Second))
	}
	return false, over
}

// othersState tells whether a resource may be another state folder's.
func (e *Engine) othersState(r Resource) bool {
	state := r.Labels[job.LabelState]
	return state == "" || state != e.Dir.ID()
}

// fromLabels is the owner process that the resources name, one that lives before
// others, and the time of the newest resource.
func fromLabels(found []Resource, ours bool) (by owner.Process, last time.Time) {
	for _, r := range found {
		if r.Made.After(last) {
			last = r.Made
		}
		if p := owner.Parse(r.Labels[job.LabelOwner]); p.State(ours) == owner.Alive || by.PID == 0 {
			by = p
		}
	}
	return by, last
}

// idleSince is how long ago last was, and no longer than the job has been there by
// a clock that nobody sets: one that was set ahead makes everything look old.
func idleSince(last time.Time, by owner.Process) time.Duration {
	idle := time.Since(last)
	if age, known := by.Age(); known && (idle < 0 || idle > age) {
		return age
	}
	return idle
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
