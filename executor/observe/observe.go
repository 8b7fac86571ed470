// Package observe collects what one call of the program does, for metrics and the operator's log: the
// steps of prepare, pulls, container starts, retries. The collection is in the context, so that packages
// which do the work need no parameter for it. Without a collection in the context nothing is collected.
package observe

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Step is a step of prepare.
type Step string

// The steps of prepare, in their order. Inspect and Helper are after the containers have started.
const (
	Clear     Step = "clear"     // remove what an earlier attempt left
	Admit     Step = "admit"     // wait for a place on the disk
	Images    Step = "images"    // pull
	Resources Step = "resources" // network, volumes, folders
	Start     Step = "start"     // containers, until they run
	Services  Step = "services"  // wait until they are ready
	Inspect   Step = "inspect"   // from inside
	Helper    Step = "helper"    // helper container
)

// Steps are all steps, in their order.
var Steps = []Step{Clear, Admit, Images, Resources, Start, Services, Inspect, Helper}

// Seen is what a call did. Times are in seconds, sizes in bytes.
type Seen struct {
	Steps      []Timed        `json:"steps,omitempty"`
	Pulls      []Pull         `json:"pulls,omitempty"`
	Containers int            `json:"containers,omitempty"` // started
	Retries    int            `json:"retries,omitempty"`    // further attempts to remove a resource
	Left       map[string]int `json:"left,omitempty"`       // leftovers by kind
	Peak       int64          `json:"peak,omitempty"`       // of the storage volume
	Image      string         `json:"image,omitempty"`      // as written in the job
	Digest     string         `json:"digest,omitempty"`     // of the image, or its ID
}

// Timed is a step that has ended.
type Timed struct {
	Step    Step    `json:"step"`
	Seconds float64 `json:"seconds"`
}

// Pull is a successful pull.
type Pull struct {
	Bytes   int64   `json:"bytes"` // downloaded
	Seconds float64 `json:"seconds"`
}

// longestText limits texts from jobs, in bytes.
const longestText = 300

// most limits the number of steps and of pulls that one call records.
const most = 64

// Call collects. It is safe for concurrent use.
type Call struct {
	mu   sync.Mutex
	seen Seen
	last Step
	// begin is called at the begin of a step, and what it returns at the end; it may be nil.
	begin func(Step) (end func())
}

type key struct{}

// With adds a new collection to ctx. Begin is called at the begin of each step, and what it returns at the
// step's end; it may be nil.
func With(ctx context.Context, begin func(Step) (end func())) (context.Context, *Call) {
	c := &Call{begin: begin}
	return context.WithValue(ctx, key{}, c), c
}

// of returns the collection of ctx, or one that nobody reads.
func of(ctx context.Context) *Call {
	if c, ok := ctx.Value(key{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// change changes the collection of ctx under its lock.
func change(ctx context.Context, do func(*Call)) {
	c := of(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	do(c)
}

// Seen returns what was collected so far.
func (c *Call) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seen
	s.Steps, s.Pulls, s.Left = slices.Clone(s.Steps), slices.Clone(s.Pulls), maps.Clone(s.Left)
	return s
}

// LastStep is the step that began last; empty before the first.
func (c *Call) LastStep() Step {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Begin records that a step begins, and its duration when end is called. A step may run several times.
func Begin(ctx context.Context, s Step) (end func()) {
	began := time.Now()
	c := of(ctx)
	c.mu.Lock()
	c.last = s
	c.mu.Unlock()
	ended := func() {}
	if c.begin != nil {
		ended = c.begin(s)
	}
	return func() {
		ended()
		change(ctx, func(c *Call) {
			if len(c.seen.Steps) < most {
				c.seen.Steps = append(c.seen.Steps, Timed{s, time.Since(began).Seconds()})
			}
		})
	}
}

// Pulled records a successful pull.
func Pulled(ctx context.Context, bytes int64, took time.Duration) {
	change(ctx, func(c *Call) {
		if len(c.seen.Pulls) < most {
			c.seen.Pulls = append(c.seen.Pulls, Pull{max(0, bytes), took.Seconds()})
		}
	})
}

// Started records the start of a container.
func Started(ctx context.Context) { change(ctx, func(c *Call) { c.seen.Containers++ }) }

// Retried records a further attempt to remove a resource.
func Retried(ctx context.Context) { change(ctx, func(c *Call) { c.seen.Retries++ }) }

// Left records a leftover of a kind.
func Left(ctx context.Context, kind string) {
	change(ctx, func(c *Call) {
		if c.seen.Left == nil {
			c.seen.Left = map[string]int{}
		}
		c.seen.Left[kind]++
	})
}

// Peak records a size of the storage volume.
func Peak(ctx context.Context, bytes int64) {
	change(ctx, func(c *Call) { c.seen.Peak = max(c.seen.Peak, bytes) })
}

// Image records the job's image, as written in the job, and its digest or ID.
func Image(ctx context.Context, name, digest string) {
	cut := func(text string) string { return text[:min(len(text), longestText)] }
	change(ctx, func(c *Call) { c.seen.Image, c.seen.Digest = cut(name), cut(digest) })
}
