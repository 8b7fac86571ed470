package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
)

const (
	// stopGrace is how long the job's own processes have to end, be ended by the
	// agent, and be unmounted from inside.
	stopGrace = 10 * time.Second
	// serviceGrace is how long a service has: nobody uses it any more.
	serviceGrace = 2 * time.Second
	// settleTime is how long a creation may take that was asked for by a process
	// that died before the engine had answered.
	settleTime = 5 * time.Second
	// heldTime is how long a cleanup waits for somebody to let go of what the
	// engine has removed already.
	heldTime = 15 * time.Second
)

// Cleanup removes everything that the journal or the labels say is the job's. It
// may be called at any time and any number of times, also beside a stage that
// still runs. What it could not remove is told in the log, stays in the journal
// and is taken up by gc: that is no error, for the job is over all the same. An
// error tells that it could not do its work.
func (x *Executor) Cleanup(ctx context.Context, i Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.clear(ctx, i.Name(), nil)
	for _, r := range left { // the Runner's own log is the administrator's
		x.Log.Warnf("Left on this machine: %s %s: %s.", r.Kind, r.Name, r.Left)
	}
	if len(left) > 0 {
		x.Log.Warn("What is left is in the job's journal; `gitlab-sysbox-executor gc` takes it up.")
	}
	if err != nil {
		return err
	}
	x.trimAfter(ctx, i)
	x.measureAfter(ctx, i)
	// The job may have been the last that had an older generation of shared images.
	if _, err := x.dropOldImages(ctx); err != nil {
		x.Log.Debugf("%v", err) // gc takes it up
	}
	return nil
}

// fresh clears what an earlier attempt at the job left, and begins its journal
// under the same lock, so that gc never sees the one without the other.
func (x *Executor) fresh(ctx context.Context, i Identity, begin func() error) error {
	left, err := x.clear(ctx, i.Name(), begin)
	// This is in the job's log: who holds what is left may be another project's.
	for _, r := range left {
		x.Log.Warnf("An earlier attempt at the job left %s %s on this machine. An administrator removes it, or finds out who holds it, with `gitlab-sysbox-executor gc`.", r.Kind, r.Name)
	}
	if s := slices.IndexFunc(left, blocks); err == nil && s >= 0 {
		return fmt.Errorf("an earlier attempt at the job left %s %s on this machine", left[s].Kind, left[s].Name)
	}
	return err
}

// blocks tells whether a thing that is left is in the way of another attempt.
func blocks(left journal.Resource) bool { return engineKind(left.Kind) }

// tellTime is what of a cleanup's time is for finding out who holds what is left.
func (x *Executor) tellTime() time.Duration { return min(3*time.Second, x.CleanupTimeout/5) }

// clear removes what the named job has, within the time configured, and returns
// what is left. When nothing is in the way of another attempt, it calls then, still
// under the job's lock.
func (x *Executor) clear(ctx context.Context, name string, then func() error) ([]journal.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout-x.tellTime())
	defer cancel()
	unlock, err := x.state().Lock(ctx, name)
	switch {
	case err == nil:
		defer unlock()
	case ctx.Err() != nil:
		return nil, err
	default: // a state folder that cannot be written keeps nobody from removing
		x.Log.Warnf("%v; the clean-up goes on without it", err)
	}
	return x.clearLocked(ctx, name, then)
}

func (x *Executor) clearLocked(ctx context.Context, name string, then func() error) ([]journal.Resource, error) {
	r := &removal{Executor: x, name: name, grips: map[string]teardown.Grip{}}
	var aside string
	var unread error
	if r.journal, aside, unread = journal.Open(x.state().Journals(), name); unread != nil {
		x.Log.Warnf("%v; what the job has on this machine is found by its labels", unread)
		r.noted = true
	}
	if aside != "" {
		x.Log.Warnf("The job's journal could not be read; it was set aside as %s. What the job has on this machine is found by its labels.", aside)
	}
	r.known = r.journal.Exists() || aside != ""
	if r.known {
		r.note(r.journal.End())
	}
	if on := r.journal.Content().Engine; on != "" && !sameHost(on, x.Engine.Host()) {
		return nil, fmt.Errorf("the things of %s are on the engine at %s, and the configuration names %s: run gc with a configuration that names the former", name, on, x.Engine.Host())
	}
	left, err := r.run(ctx, aside != "" || unread != nil)
	if err != nil {
		return left, err
	}
	if unread != nil {
		if _, _, err := journal.Read(x.state().Journals(), name); err != nil {
			return left, unread // what only the journal knows is still there
		}
		return x.clearLocked(ctx, name, then)
	}
	if len(left) == 0 {
		if err := r.journal.Forget(); err != nil {
			return nil, err
		}
	}
	if then == nil || slices.ContainsFunc(left, blocks) {
		return left, nil
	}
	return left, then()
}

// sameHost tells whether two addresses are one engine's: /var/run is a link to
// /run nearly everywhere.
func sameHost(a, b string) bool {
	resolve := func(host string) string {
		if path, ok := strings.CutPrefix(host, "unix://"); ok {
			if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
				return "unix://" + filepath.Join(real, filepath.Base(path))
			}
		}
		return host
	}
	return a == b || resolve(a) == resolve(b)
}

// removal is one pass over what one job has.
type removal struct {
	*Executor
	name    string
	journal *journal.Journal
	// known tells that something was written down of the job.
	known bool

	mu sync.Mutex
	// grips are who stood in the engine's folders when they were first seen.
	grips  map[string]teardown.Grip
	noted  bool
	failed []failure
}

// note tells once that the journal cannot be written. A removal goes on: what is
// not struck is found gone by the next.
func (r *removal) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && !r.noted {
		r.noted = true
		r.Log.Warnf("%v; the clean-up goes on without it", err)
	}
}

// run looks and removes, over and over, until a look finds nothing and nothing
// can still come into being, or the time is up. What the engine lists is the
// truth: an answer that a thing is gone is not taken for it, and what is in use
// may be so by something that has only just come into being.
func (r *removal) run(ctx context.Context, settle bool) ([]journal.Resource, error) {
	began := time.Now() // monotonic: a clock that is set does not matter
	for {
		have, err := r.holdings(ctx)
		if err != nil && len(r.failed) > 0 {
			return r.leave(), nil
		} else if err != nil {
			return nil, err
		}
		r.failed = nil
		pending := settle || slices.ContainsFunc(r.journal.Resources(), func(s journal.Resource) bool {
			return !s.Answered && engineKind(s.Kind)
		})
		if len(have) == 0 && (!pending || time.Since(began) >= settleTime) {
			for _, s := range r.journal.Resources() {
				r.note(r.journal.Strike(s.Kind, s.Name))
			}
			return nil, nil
		}
		for _, kind := range journal.Kinds { // what uses a thing goes before it
			short, cancel := context.WithTimeout(ctx, roundTime(kind))
			r.removeAll(short, have[kind])
			cancel()
		}
		// Somebody else's hands are waited for within reason, other things as long as
		// may be.
		worthIt := func(f failure) bool {
			others := f.Kind == journal.Held || f.Kind == journal.Loop
			return f.mayPass() && (!others || time.Since(began) < heldTime)
		}
		hopeless := len(r.failed) > 0 && !pending && !slices.ContainsFunc(r.failed, worthIt)
		if hopeless {
			return r.leave(), nil
		}
		pause := 100 * time.Millisecond
		if len(have) > 0 && len(r.failed) == 0 {
			pause = 0
		}
		select {
		case <-ctx.Done():
			r.unsure(have)
			return r.leave(), nil
		case <-time.After(pause):
		}
	}
}

// unsure counts as failed, when the time is up, what was removed without a look
// that confirms it, and what may still come into being.
func (r *removal) unsure(have map[journal.Kind][]holding) {
	if len(r.failed) > 0 {
		return
	}
	for _, holdings := range have {
		for _, h := range holdings {
			r.fail(h, errors.New("the time was up before it was seen to be gone"))
		}
	}
	for _, s := range r.journal.Resources() {
		if engineKind(s.Kind) && !s.Answered {
			r.fail(holding{Resource: s, target: s.Name}, errors.New("the engine was asked for it and has not answered"))
		}
	}
}

// roundTime is how long removing things of a kind may take before a new look
// tells what else there is. A container has to be ended, too.
func roundTime(k journal.Kind) time.Duration {
	if k == journal.Container {
		return 3 * stopGrace
	}
	return 3 * time.Second
}

func engineKind(k journal.Kind) bool {
	return k == journal.Container || k == journal.Network || k == journal.Volume
}

// holding is a thing of the job's: what removes it, and what the journal calls it.
type holding struct {
	journal.Resource
	target string
	role   string
	// paths are the engine's folders and devices behind it.
	paths []string
}

// holdings is what the labels and the journal say the job has. What the engine
// holds is found by its labels: a thing of the same name without them is not ours,
// unless the engine lost them (lostLabels). The engine is asked also for a job
// without a journal: it may have been lost.
func (r *removal) holdings(ctx context.Context) (map[journal.Kind][]holding, error) {
	have := map[journal.Kind][]holding{}
	for _, kind := range []journal.Kind{journal.Container, journal.Network, journal.Volume} {
		found, err := r.find(ctx, kind)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			// By ID: the engine lets two networks bear one name.
			h := holding{Resource: journal.Resource{Kind: kind, Name: f.Name, Answered: true}, target: f.ID, role: f.Labels[job.LabelRole], paths: f.Paths}
			if kind == journal.Container {
				r.look(ctx, &h)
			}
			have[kind] = append(have[kind], h)
			r.journal.Answered(kind, f.Name)
		}
	}
	seen := func(s journal.Resource) bool {
		return slices.ContainsFunc(have[s.Kind], func(h holding) bool { return h.Name == s.Name })
	}
	for _, s := range r.journal.Resources() {
		if s.Kind != journal.Volume || s.Answered || seen(s) {
			continue
		}
		f, ok, err := r.findUnlabelled(ctx, s)
		if err != nil {
			return nil, err
		}
		if ok {
			have[s.Kind] = append(have[s.Kind], holding{Resource: s, target: f.ID, paths: f.Paths})
		}
	}
	r.grip(ctx, have)
	for _, s := range r.journal.Resources() {
		switch {
		case seen(s), engineKind(s.Kind) && !s.Answered: // in flight: the next look tells
		case isAnonymous(s), !engineKind(s.Kind):
			have[s.Kind] = append(have[s.Kind], holding{Resource: s, target: s.Name})
		default: // it is gone
			if s.Kind == journal.Container && s.Detail != "" {
				teardown.EndShims(ctx, s.Detail)
			}
			r.note(r.journal.Strike(s.Kind, s.Name))
		}
	}
	folder := journal.Resource{Kind: journal.Folder, Name: r.state().Job(r.name)}
	if _, err := os.Lstat(folder.Name); err == nil && !seen(folder) {
		have[journal.Folder] = append(have[journal.Folder], holding{Resource: folder, target: folder.Name})
	}
	return have, nil
}

// grip looks, once for each, who stands in the folders behind what is to go.
func (r *removal) grip(ctx context.Context, have map[journal.Kind][]holding) {
	var paths []string
	for _, holdings := range have {
		for _, h := range holdings {
			for _, path := range h.paths {
				if _, known := r.grips[path]; !known {
					paths = append(paths, path)
				}
			}
		}
	}
	grips, gaps := teardown.Grips(ctx, paths)
	for _, g := range grips {
		r.grips[g.Path] = g
	}
	if gaps != "" {
		r.Log.Debugf("Who else has what is to be removed is not known in full: %s.", gaps)
	}
}

// find lists what the engine has of the job, and waits for an engine that is
// just restarting where there is something to wait for.
func (r *removal) find(ctx context.Context, kind journal.Kind) (found []engine.Found, err error) {
	list := map[journal.Kind]func(context.Context, string, string) ([]engine.Found, error){
		journal.Container: r.Engine.FindContainers,
		journal.Network:   r.Engine.FindNetworks,
		journal.Volume:    r.Engine.FindVolumes,
	}[kind]
	ask := func(ctx context.Context) error {
		if found, err = list(ctx, job.LabelName, r.name); engine.IsNotFound(err) {
			err = errors.New(err.Error()) // a list that is missing is no list of nothing
		}
		found = slices.DeleteFunc(found, func(f engine.Found) bool { return !belongs(f, r.name) })
		return err
	}
	if !r.known {
		if err := ask(ctx); !engine.IsUnreachable(err) || ctx.Err() != nil {
			return found, err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		ctx = short
	}
	// A list is no removal, but what is worth another try is the same.
	if err := teardown.Retry(ctx, teardown.Ask, ask, nil); err != nil {
		return nil, err
	}
	return found, err
}

// findUnlabelled finds a volume that the engine was asked for without having
// answered, if the engine lost its labels.
func (r *removal) findUnlabelled(ctx context.Context, asked journal.Resource) (found engine.Found, ok bool, err error) {
	err = teardown.Retry(ctx, teardown.Ask, func(ctx context.Context) error {
		found, err = r.Engine.FindVolume(ctx, asked.Name)
		ok = err == nil && lostLabels(found, asked)
		return err
	}, nil)
	return found, ok, err
}

// lostLabels tells whether a volume of the name that was asked for is what came of
// it: an engine that is killed between making a volume's folder and writing down its
// labels has it without any (Engine 20.10). One that is older is somebody else's; an
// engine on another machine may have another time.
func lostLabels(v engine.Found, asked journal.Resource) bool {
	return v.Name == asked.Name && len(v.Labels) == 0 && v.Made.After(asked.At.Add(-time.Minute))
}

// look learns what belongs to a container without bearing our labels: the
// volumes that its image made it have, and the folders of its root.
func (r *removal) look(ctx context.Context, h *holding) {
	d, err := r.Engine.Look(ctx, h.target)
	if err != nil {
		return // it is going, or its removal will tell
	}
	h.paths = d.Paths
	r.Kept().Used(d.Volumes)
	for _, v := range d.Anonymous {
		r.note(r.journal.Intend(journal.Resource{Kind: journal.Volume, Name: v, Detail: anonymous, Answered: true}))
	}
}

// anonymous is the journal's detail of a volume that goes with the container for
// which the engine made it unasked. It has no label of ours.
const anonymous = "anonymous"

// isAnonymous tells a volume that was written down as such. One that only looks like
// it, as an administrator's own with a name of 64 hexadecimal digits does, is not.
func isAnonymous(r journal.Resource) bool { return r.Kind == journal.Volume && r.Detail == anonymous }

func (r *removal) removeAll(ctx context.Context, holdings []holding) {
	var wg sync.WaitGroup
	for _, h := range holdings {
		wg.Go(func() {
			if err := r.remove(ctx, h); err != nil {
				r.fail(h, err)
				return
			}
			r.released(ctx, h)
			r.note(r.journal.Strike(h.Kind, h.Name))
		})
	}
	wg.Wait()
}

// failure is a thing that this round did not remove.
type failure struct {
	holding
	err error
}

// mayPass tells whether another try may succeed.
func (f failure) mayPass() bool {
	_, busy := errors.AsType[*teardown.StillBusy](f.err)
	return busy
}

func (r *removal) fail(h holding, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, failure{h, err})
}

// leave writes down what is left, and who holds it, and sets aside what can be.
func (r *removal) leave() []journal.Resource {
	ctx, cancel := context.WithTimeout(context.Background(), r.tellTime()) // the cleanup's own time is up
	defer cancel()
	var all []holding
	for _, f := range r.failed {
		all = append(all, r.setAside(f.holding))
	}
	holders := r.holders(ctx, all)
	var left []journal.Resource
	for n, h := range all {
		h.Left = strings.TrimSuffix(r.failed[n].err.Error(), ".")
		if holders[n] != "" && !strings.Contains(h.Left, "held by ") {
			h.Left += "; " + holders[n]
		}
		r.note(r.journal.Left(h.Resource))
		left = append(left, h.Resource)
	}
	slices.SortFunc(left, func(a, b journal.Resource) int {
		return cmp.Or(slices.Index(journal.Kinds, a.Kind)-slices.Index(journal.Kinds, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return left
}

// holders says who holds each of the holdings, as far as that is known.
func (r *removal) holders(ctx context.Context, all []holding) []string {
	var paths []string
	for _, h := range all {
		paths = append(paths, h.mounted()...)
	}
	found, gaps := teardown.Holders(ctx, paths)
	texts := make([]string, len(all))
	for n, h := range all {
		var names []string
		if engineKind(h.Kind) {
			names, _ = r.Engine.Users(ctx, string(h.Kind), h.target) // only to tell
		}
		for _, path := range h.mounted() {
			names = append(names, teardown.Names(found[path])...)
		}
		switch {
		case len(names) > 0:
			texts[n] = "held by " + strings.Join(names, ", ")
		case len(h.mounted()) > 0:
			texts[n] = gaps
		}
	}
	return texts
}

// mounted are the paths that others may have.
func (h holding) mounted() []string {
	if engineKind(h.Kind) || h.Kind == journal.Held {
		return h.paths
	}
	return append(slices.Clone(h.paths), h.target)
}

// released writes down whose hands keep alive what the engine has removed: its
// disk space and its devices would stay in use unseen. Letting go is waited for
// when everything else is gone.
func (r *removal) released(ctx context.Context, h holding) {
	if h.Kind != journal.Container && h.Kind != journal.Volume {
		return
	}
	for _, path := range h.paths {
		if g, held := r.grips[path].Still(ctx); held {
			r.note(r.journal.Intend(journal.Resource{Kind: journal.Held, Name: path, Detail: g.String(), Answered: true}))
		}
	}
	if h.Kind == journal.Volume {
		r.detached(ctx, h.target)
	}
}

// remove removes one thing, or finds it gone.
func (r *removal) remove(ctx context.Context, h holding) error {
	switch h.Kind {
	case journal.Container:
		return r.removeContainer(ctx, h)
	case journal.Network:
		return r.askEngine(ctx, h.target, r.Engine.RemoveNetwork)
	case journal.Volume:
		return r.askEngine(ctx, h.target, r.Engine.RemoveVolume)
	case journal.Held:
		return teardown.ParseGrip(h.target, h.Detail).Released(ctx)
	case journal.Loop:
		return teardown.DetachLoop(ctx, h.target, h.Detail)
	}
	if !r.ours(h.target) {
		return errors.New("not below the state folder")
	}
	switch h.Kind {
	case journal.Mount:
		return teardown.UnmountBelow(ctx, h.target, time.Second)
	case journal.File:
		return teardown.RemoveFile(ctx, h.target)
	case journal.Folder:
		return teardown.RemoveFolder(ctx, h.target)
	}
	return fmt.Errorf("unknown kind %q", h.Kind)
}

// ours tells whether a path of the journal's is one that we may remove.
func (x *Executor) ours(path string) bool {
	inside, err := filepath.Rel(x.StateDir, path)
	return err == nil && filepath.Clean(path) == path && inside != "." && filepath.IsLocal(inside)
}

// setAside moves a folder that cannot be removed out of the way of the job's
// next attempt, and returns the holding by its new name. Anything else stays
// where it is.
func (r *removal) setAside(h holding) holding {
	aside := r.state().Aside()
	if h.Kind != journal.Folder || filepath.Dir(h.target) == aside || !r.ours(h.target) {
		return h
	}
	moved := h
	moved.target = filepath.Join(aside, fmt.Sprintf("%s-%d", r.name, time.Now().UnixNano()))
	moved.Name = moved.target
	if os.MkdirAll(aside, 0o700) != nil || r.journal.Intend(moved.Resource) != nil {
		return h
	}
	if os.Rename(h.target, moved.target) != nil {
		r.note(r.journal.Strike(moved.Kind, moved.Name))
		return h
	}
	r.note(r.journal.Strike(h.Kind, h.Name))
	return moved
}

func (r *removal) askEngine(ctx context.Context, target string, remove func(context.Context, string) error) error {
	return teardown.Retry(ctx, teardown.Ask, func(ctx context.Context) error { return remove(ctx, target) }, nil)
}

func (r *removal) removeContainer(ctx context.Context, h holding) error {
	grace := serviceGrace
	if h.role == string(job.RoleBuild) {
		grace = stopGrace
		r.unmountInside(ctx, h.target)
	}
	stopped := false
	err := r.askEngine(ctx, h.target, func(ctx context.Context, id string) error {
		if !stopped {
			// The first process ends the others in an orderly way, as far as time allows.
			// Whether there is such a container is what its removal says.
			if err := r.Engine.StopContainer(ctx, id, grace); engine.IsUnreachable(err) {
				return err
			}
			stopped = true
		}
		return r.Engine.RemoveContainer(ctx, id)
	})
	if err == nil {
		teardown.EndShims(ctx, h.target)
	}
	return err
}

// unmountInside takes down the mounts that the job made, while the container's
// mount name space lives. Our own first process does so when it is asked to end;
// here it is done for containers whose first process is another.
func (r *removal) unmountInside(ctx context.Context, id string) {
	var f facts
	if ok, err := r.journal.Facts(&f); err != nil || !ok || f.Init {
		return
	}
	report, err := r.inside(id, jobContainer).Unmount(ctx, agent.UnmountOrder{Below: []string{storage.Mountpoint, f.TMPDIR}})
	if err != nil {
		r.Log.Debugf("unmounting from inside: %v", err)
		return
	}
	for _, text := range report.Left {
		r.Log.Debugf("unmounting from inside: %s", text)
	}
}
