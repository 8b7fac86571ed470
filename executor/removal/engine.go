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

// Backend is what has the resources that are made when asked for.
type Backend interface {
	// Host is its address.
	Host() string
	// Same tells whether an address is this backend's, too.
	Same(host string) bool
	// Meaning is what the outcome of a request to it means.
	Meaning(err error) teardown.Meaning
}

// Engine removes jobs. Its methods may be called concurrently, also by several
// processes.
type Engine struct {
	Dir     statedir.Dir
	Backend Backend
	Timeout time.Duration // of the whole removal of one job
	Log     logrus.FieldLogger
	// Kinds are in the order of removal: what uses a resource goes before it.
	Kinds []Kind
}

// holderTime is how much of the time of a removal is for finding out who holds the
// leftovers.
func (e *Engine) holderTime() time.Duration { return min(3*time.Second, e.Timeout/5) }

func (e *Engine) kind(name journal.Kind) (Kind, bool) {
	n := slices.IndexFunc(e.Kinds, func(k Kind) bool { return k.Name() == name })
	if n < 0 {
		return nil, false
	}
	return e.Kinds[n], true
}

// asked tells whether the kind is of those that are made when asked for.
func (e *Engine) asked(name journal.Kind) bool {
	k, ok := e.kind(name)
	return ok && k.Traits().Asked
}

// Blocks tells whether a leftover is in the way of the job's next attempt.
func (e *Engine) Blocks(left journal.Resource) bool { return e.asked(left.Kind) }

// Clear removes what the named job has, within e.Timeout, and returns the leftovers.
// Where none of them is in the way of another attempt it calls then, still under the
// job's lock; then may be nil. An error says that it could not do its work.
func (e *Engine) Clear(ctx context.Context, job string, then func() error) ([]journal.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout-e.holderTime())
	defer cancel()
	unlock, err := e.Dir.Lock(ctx, job)
	switch {
	case err == nil:
		defer unlock()
	case ctx.Err() != nil:
		return nil, err
	default: // a state folder that cannot be written keeps nobody from removing
		e.Log.Warnf("%v; the cleanup goes on without the lock", err)
	}
	return e.clearLocked(ctx, job, then)
}

func (e *Engine) clearLocked(ctx context.Context, job string, then func() error) ([]journal.Resource, error) {
	p := &pass{Engine: e, job: job, grips: map[string]teardown.Grip{}}
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
		return nil, fmt.Errorf("the resources of %s are on the engine at %s, and the configuration names %s: run gc with a configuration that names the former", job, on, e.Backend.Host())
	}
	left, err := p.run(ctx, quarantined != "" || unread != nil)
	if err != nil {
		return left, err
	}
	if unread != nil {
		if _, _, err := journal.Read(e.Dir.Journals(), job); err != nil {
			return left, unread // what only the journal knows is still there
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

// All lists the resources of the named job, or of all jobs, of the kinds that are
// made when asked for, by the jobs' names.
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
