package removal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/teardown"
)

// settleTime is how long an engine may need to make a resource if the process that requested
// it died before the answer.
const settleTime = 5 * time.Second

// pass is one removal of a job's resources.
type pass struct {
	*Engine
	job     string
	journal *journal.Journal
	known   bool // the job has or had a journal

	// possible are the processes that had the resources' paths when these were first listed.
	possible map[string]teardown.PossibleHolders

	mu     sync.Mutex
	noted  bool // a failure to write the journal was logged
	failed []failure
}

// failure is a resource that this round could not remove.
type failure struct {
	Resource
	kind Kind
	err  error
}

// note logs once that the journal cannot be written. The removal continues: the next one
// finds that the resources are gone.
func (p *pass) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !p.noted {
		p.noted = true
		p.Log.Warnf("%v; the cleanup goes on without writing the journal", err)
	}
}

func (p *pass) fail(k Kind, r Resource, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, failure{r, k, err})
}

// run lists and removes until a list is empty and no resource can still appear, or until
// the time is up. It always lists again, because the engine's answer that a resource is gone
// may be wrong, and because the user of a busy resource may have appeared after the list.
//
//  1. List everything, by labels and by the journal.
//  2. Done if there are none, and no request is unanswered for less than settleTime.
//  3. Remove kind by kind, each in parallel. Kinds that are Beside each other go together.
//  4. Give up if another attempt cannot succeed for any failure.
func (p *pass) run(ctx context.Context, unsure bool) ([]journal.Resource, error) {
	began := time.Now() // monotonic, so independent of changes of the clock
	for {
		have, err := p.list(ctx)
		if err != nil && len(p.failed) > 0 {
			return p.leave(), nil
		} else if err != nil {
			return nil, err
		}
		p.failed = nil
		pending := unsure || slices.ContainsFunc(p.journal.Resources(), p.unanswered)
		if len(have) == 0 && (!pending || time.Since(began) >= settleTime) {
			for _, s := range p.journal.Resources() {
				p.note(p.journal.Strike(s.Kind, s.Name))
			}
			return nil, nil
		}
		var removing sync.WaitGroup
		for _, k := range p.Kinds {
			if !k.Traits().Beside {
				removing.Wait()
			}
			removing.Go(func() { p.removeAll(ctx, k, have[k.Name()]) })
		}
		removing.Wait()
		again := func(f failure) bool { return f.mayPass(time.Since(began)) }
		if len(p.failed) > 0 && !pending && !slices.ContainsFunc(p.failed, again) {
			return p.leave(), nil
		}
		pause := 100 * time.Millisecond
		if len(have) > 0 && len(p.failed) == 0 {
			pause = 0
		}
		select {
		case <-ctx.Done():
			p.timeUp(have)
			return p.leave(), nil
		case <-time.After(pause):
		}
	}
}

// unanswered reports whether a resource may still appear.
func (p *pass) unanswered(s journal.Resource) bool { return !s.Answered && p.asked(s.Kind) }

// mayPass reports whether another attempt may succeed.
func (f failure) mayPass(tried time.Duration) bool {
	_, busy := errors.AsType[*teardown.StillBusy](f.err)
	patience := f.kind.Traits().Patience
	return busy && (patience == 0 || tried < patience)
}

// timeUp adds to the failures the resources whose removal no list has confirmed, and those
// that may still appear.
func (p *pass) timeUp(have map[journal.Kind][]Resource) {
	if len(p.failed) > 0 {
		return
	}
	for _, k := range p.Kinds {
		for _, r := range have[k.Name()] {
			p.fail(k, r, errors.New("timed out before a list confirmed its removal"))
		}
	}
	for _, s := range p.journal.Resources() {
		if k, ok := p.kind(s.Kind); ok && p.unanswered(s) {
			p.fail(k, Resource{Resource: s, Job: p.job, ID: s.Name}, errors.New("the engine has not answered the request to make it"))
		}
	}
}

// list returns the job's resources according to the labels and the journal. The backend is
// asked even if the job has no journal, because the journal may have been lost.
func (p *pass) list(ctx context.Context) (map[journal.Kind][]Resource, error) {
	have := map[journal.Kind][]Resource{}
	for _, k := range p.Kinds {
		found, err := p.listKind(ctx, k)
		if err != nil {
			return nil, err
		}
		for n := range found {
			k.Examine(ctx, &found[n], p.journal)
			p.journal.Answered(k.Name(), found[n].Name)
		}
		have[k.Name()] = append(have[k.Name()], found...)
	}
	for _, s := range p.journal.Resources() {
		listed := slices.ContainsFunc(have[s.Kind], func(r Resource) bool { return r.Name == s.Name })
		k, ok := p.kind(s.Kind)
		if listed || !ok {
			continue
		}
		r, found, err := k.Adopt(ctx, p.job, s)
		switch {
		case err != nil:
			return nil, err
		case found:
			have[s.Kind] = append(have[s.Kind], r)
		case !p.unanswered(s): // otherwise the next list will contain it
			p.note(p.journal.Strike(s.Kind, s.Name))
		}
	}
	p.notePossible(ctx, have)
	for name, all := range have {
		if len(all) == 0 {
			delete(have, name)
		}
	}
	return have, nil
}

// listKind waits for a backend that is restarting, if the job may have resources on it.
func (p *pass) listKind(ctx context.Context, k Kind) (found []Resource, err error) {
	ask := func(ctx context.Context) error {
		found, err = k.List(ctx, p.job)
		return err
	}
	if !k.Traits().Asked {
		return found, ask(ctx)
	}
	if !p.known {
		if err := ask(ctx); p.Backend.Meaning(err) != teardown.Busy || ctx.Err() != nil {
			return found, err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		ctx = short
	}
	// The rules for repeating a removal also apply to a list.
	if err := teardown.RetryAs(ctx, p.Backend.Meaning, ask); err != nil {
		return nil, err
	}
	return found, err
}

func (p *pass) removeAll(ctx context.Context, k Kind, all []Resource) {
	ctx, cancel := context.WithTimeout(ctx, k.Traits().Round)
	defer cancel()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			if err := k.Remove(ctx, r, p.journal); err != nil {
				p.fail(k, r, err)
				return
			}
			p.released(ctx, r)
			p.note(p.journal.Strike(r.Kind, r.Name))
		})
	}
	wg.Wait()
}
