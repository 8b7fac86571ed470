package removal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// Backend is the engine that has the jobs' containers, networks and volumes.
type Backend interface {
	// Host is the backend's address.
	Host() string
	// Same reports whether an address is of this backend.
	Same(host string) bool
	// Meaning classifies the error of a request.
	Meaning(err error) teardown.Meaning
}

// Engine removes jobs. Its methods are safe for concurrent use, also by several
// processes.
type Engine struct {
	Dir     statedir.Dir
	Backend Backend
	Timeout time.Duration // for the complete removal of one job
	Log     logrus.FieldLogger
	// Kinds are in the order of removal: a user of a resource comes before the resource.
	Kinds []Kind
	// Over is called when gc has found that a job is over and has removed it, or what can be removed; it
	// may be nil.
	Over func(ctx context.Context, job string)
}

// holderTime is the part of the removal's time that is reserved to find the holders of
// leftovers.
func (e *Engine) holderTime() time.Duration { return min(3*time.Second, e.Timeout/5) }

func (e *Engine) kind(name journal.Kind) (Kind, bool) {
	n := slices.IndexFunc(e.Kinds, func(k Kind) bool { return k.Name() == name })
	if n < 0 {
		return nil, false
	}
	return e.Kinds[n], true
}

// asked reports whether resources of the kind are made by an engine on request.
func (e *Engine) asked(name journal.Kind) bool {
	k, ok := e.kind(name)
	return ok && k.Traits().Asked
}

// Blocks reports whether a leftover prevents the job's next attempt.
func (e *Engine) Blocks(left journal.Resource) bool { return e.asked(left.Kind) }

// Clear removes the resources of the named job, within e.Timeout, and returns the
// leftovers. If none of them prevents another attempt, it calls then while it holds the
// job's lock; then may be nil. An error means that the removal was not possible.
func (e *Engine) Clear(ctx context.Context, job string, then func() error) ([]journal.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout-e.holderTime())
	defer cancel()
	unlock, err := e.Dir.Lock(ctx, job)
	switch {
	case err == nil:
		defer unlock()
	case ctx.Err() != nil:
		return nil, err
	default: // continue: a removal does not need to write to the state folder
		e.Log.Warnf("%v; the cleanup goes on without the lock", err)
	}
	return e.clearLocked(ctx, job, then)
}

func (e *Engine) clearLocked(ctx context.Context, job string, then func() error) ([]journal.Resource, error) {
	p := &pass{Engine: e, job: job, possible: map[string]teardown.PossibleHolders{}}
	j, quarantined, unread := journal.Open(e.Dir.Journals(), job)
	p.journal = j
	if unread != nil {
		e.Log.Warnf("%v; the job's resources are found by their labels", unread)
		p.noted = true
	}
	if quarantined != "" {
		e.Log.Warnf("The job's journal could not be read and was moved to %s. The job's resources are found by their labels.", quarantined)
	}
	p.known = j.Exists() || quarantined != ""
	if p.known {
		p.note(j.End())
	}
	if on := j.Content().Engine; on != "" && !e.Backend.Same(on) {
		return nil, fmt.Errorf("the resources of %s are on the engine at %s, but the configuration names %s: run gc with a configuration that names %[2]s", job, on, e.Backend.Host())
	}
	left, err := p.run(ctx, quarantined != "" || unread != nil)
	if err != nil {
		return left, err
	}
	if unread != nil {
		if _, _, err := journal.Read(e.Dir.Journals(), job); err != nil {
			return left, unread // resources that only the journal names still exist
		}
		return e.clearLocked(ctx, job, then)
	}
	if len(left) == 0 {
		if err := j.Forget(); err != nil {
			return nil, err
		}
	}
	if then == nil || slices.ContainsFunc(left, e.Blocks) {
		return left, nil
	}
	return left, then()
}

// All lists the resources of the named job, or of all jobs, by job name. It lists only
// kinds that an engine makes on request.
func (e *Engine) All(ctx context.Context, job string) (map[string][]Resource, error) {
	all := map[string][]Resource{}
	for _, k := range e.Kinds {
		if !k.Traits().Asked {
			continue
		}
		found, err := k.List(ctx, job)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			all[r.Job] = append(all[r.Job], r)
		}
	}
	return all, nil
}
