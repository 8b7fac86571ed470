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

// unsureTime is how long a job must be unused before it counts as over if its owner process
// cannot be seen from here. A GitLab job ends at its timeout, which is rarely longer than
// this.
const unsureTime = 24 * time.Hour

// lives reports whether the named job still runs, or was used too recently, and why.
//
//  1. If one of its stages runs, the job lives.
//  2. Read its owner process and last use from its journal or, without one, its labels.
//  3. If the owner process lives, so does the job. If it has ended, the job is over, unless another state
//     folder keeps it for a person.
//  4. If the owner process cannot be seen from here, its sign of life decides, if the backend has one. Otherwise the job is
//     over after unsureTime.
func (e *Engine) lives(name string, found []Resource, olderThan time.Duration) (bool, string) {
	if e.Dir.Used(name) {
		return true, "one of its stages runs"
	}
	content, there, err := journal.Read(e.Dir.Journals(), name)
	if err != nil && !there {
		return true, err.Error()
	}
	// If the state folder is the job's, an owner process from before a reboot has ended.
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
		switch { // a journal takes precedence over labels
		case len(found) == 0:
			over = "it has no readable journal and no resources on the engine"
		case ours || slices.ContainsFunc(found, e.othersState):
		case by.State(ours) == owner.Alive: // otherwise another machine may have a state folder with the same ID
			over = "the engine made it after its cleanup had ended"
		}
	}
	idle := idleSince(last, by)
	if over == "" {
		switch by.State(ours) {
		case owner.Alive:
			return true, fmt.Sprintf("its owner process lives: %d (%s)", by.PID, by.Command)
		case owner.Ended:
			over = fmt.Sprintf("its owner process has ended: %d (%s)", by.PID, by.Command)
			if keep := wantedKeep(found); keep > 0 && !ours { // its state folder knows when it ended
				olderThan = max(olderThan, unsureTime+keep)
			}
		case owner.Unknown:
			until := lastUntil(found)
			switch {
			case until.IsZero():
				over = "no sign of life for 24h"
				olderThan = max(olderThan, unsureTime)
			case time.Now().Before(until):
				return true, "its driver gives signs of life"
			default:
				over = fmt.Sprintf("its driver has given no sign of life until %s", until.Format(time.RFC3339))
				if keep := wantedKeep(found); keep > 0 {
					olderThan = max(olderThan, unsureTime+keep)
				}
			}
		}
	}
	if olderThan > 0 && idle < olderThan {
		return true, fmt.Sprintf("used %s ago", max(idle, 0).Round(time.Second))
	}
	return false, over
}

// wantedKeep is how long a person wants to look at the job after its end, according to its labels.
func wantedKeep(found []Resource) (longest time.Duration) {
	for _, r := range found {
		keep, _ := time.ParseDuration(r.Labels[job.LabelKeep]) // only ours have a valid one
		longest = max(longest, keep)
	}
	return longest
}

// lastUntil is the latest Until of the resources.
func lastUntil(found []Resource) (last time.Time) {
	for _, r := range found {
		if r.Until.After(last) {
			last = r.Until
		}
	}
	return last
}

// othersState reports whether a resource may belong to another state folder.
func (e *Engine) othersState(r Resource) bool {
	state := r.Labels[job.LabelState]
	return state == "" || state != e.Dir.ID()
}

// fromLabels returns the owner process in the labels of the resources, preferably one that
// lives, and the time of the newest resource.
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

// idleSince is the time since last, but at most the job's age by the monotonic clock. If
// the clock was set forward, everything would look old otherwise.
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
