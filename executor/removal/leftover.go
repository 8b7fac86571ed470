package removal

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/teardown"
)

// leave records the leftovers with their holders, and quarantines those of kinds that allow it.
func (p *pass) leave() []journal.Resource {
	ctx, cancel := context.WithTimeout(context.Background(), p.holderTime()) // the cleanup's time has passed
	defer cancel()
	all := slices.Clone(p.failed)
	for n, f := range all {
		if q, ok := f.kind.(Quarantiner); ok {
			all[n].Resource = q.Quarantine(f.Resource, p.journal)
		}
	}
	holders := p.holders(ctx, all)
	var left []journal.Resource
	for n, f := range all {
		f.Left = strings.TrimSuffix(f.err.Error(), ".")
		if holders[n] != "" && !strings.Contains(f.Left, "held by ") {
			f.Left += "; " + holders[n]
		}
		p.note(p.journal.Left(f.Resource.Resource))
		left = append(left, f.Resource.Resource)
	}
	order := func(k journal.Kind) int {
		return slices.IndexFunc(p.Kinds, func(known Kind) bool { return known.Name() == k })
	}
	slices.SortFunc(left, func(a, b journal.Resource) int {
		return cmp.Or(order(a.Kind)-order(b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return left
}

// holders returns a text with the known holders of each resource. It reads the host's
// process list only once.
func (p *pass) holders(ctx context.Context, all []failure) []string {
	var paths []string
	for _, f := range all {
		paths = append(paths, f.paths()...)
	}
	found, gaps := teardown.Holders(ctx, paths)
	texts := make([]string, len(all))
	for n, f := range all {
		names := f.kind.Users(ctx, f.Resource)
		for _, path := range f.paths() {
			names = append(names, teardown.Names(found[path])...)
		}
		switch {
		case len(names) > 0:
			texts[n] = "held by " + strings.Join(names, ", ")
		case len(f.paths()) > 0:
			texts[n] = gaps
		}
	}
	return texts
}

// notePossible records, once for each resource, which processes have its paths before it is removed.
func (p *pass) notePossible(ctx context.Context, have map[journal.Kind][]Resource) {
	var paths []string
	for _, all := range have {
		for _, r := range all {
			for _, path := range r.Paths {
				if _, known := p.possible[path]; !known {
					paths = append(paths, path)
				}
			}
		}
	}
	if len(paths) == 0 {
		return
	}
	possible, gaps := teardown.AllPossibleHolders(ctx, paths)
	for _, g := range possible {
		p.possible[g.Path] = g
	}
	if gaps != "" {
		p.Log.Debugf("The list of processes that hold the resources may be incomplete: %s.", gaps)
	}
}

// released records the processes that still hold a path which has been removed. Its disk
// space and devices stay in use, and no other process can see them.
func (p *pass) released(ctx context.Context, r Resource) {
	for _, path := range r.Paths {
		if g, held := p.possible[path].Still(ctx); held {
			p.note(p.journal.Intend(journal.Resource{Kind: journal.Held, Name: path, Detail: g.String(), Answered: true}))
		}
	}
}
