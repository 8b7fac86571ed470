package observe

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCollects(t *testing.T) {
	t.Parallel()
	var sections []string
	ctx, c := With(t.Context(), func(s Step) func() {
		sections = append(sections, "begin "+string(s))
		return func() { sections = append(sections, "end "+string(s)) }
	})
	end := Begin(ctx, Images)
	Pulled(ctx, 1000, 2*time.Second)
	Pulled(ctx, -1, time.Second)
	end()
	Begin(ctx, Start)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { Started(ctx); Retried(ctx); Left(ctx, "volume"); Peak(ctx, 5) })
	}
	all.Wait()
	Peak(ctx, 3)
	Image(ctx, strings.Repeat("a", 400), "sha256:1")

	got := c.Seen()
	if len(got.Steps) != 1 || got.Steps[0].Step != Images || got.Steps[0].Seconds < 0 {
		t.Errorf("steps: %+v", got.Steps)
	}
	got.Steps = nil
	want := Seen{
		Pulls: []Pull{{1000, 2}, {0, 1}}, Containers: 100, Retries: 100, Left: map[string]int{"volume": 100}, Peak: 5,
		Image: strings.Repeat("a", 300), Digest: "sha256:1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if c.LastStep() != Start || strings.Join(sections, ", ") != "begin images, end images, begin start" {
		t.Errorf("%s, %q", c.LastStep(), sections)
	}
}

func TestIsBounded(t *testing.T) {
	t.Parallel()
	ctx, c := With(t.Context(), nil)
	for range 10 * most {
		Begin(ctx, Helper)()
		Pulled(ctx, 1, 1)
	}
	if s := c.Seen(); len(s.Steps) != most || len(s.Pulls) != most {
		t.Errorf("%d steps, %d pulls", len(s.Steps), len(s.Pulls))
	}
}

// Code that observes itself also runs where nobody collects, such as in a fill container's removal.
func TestWithoutACollection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	Begin(ctx, Admit)()
	Pulled(ctx, 1, 1)
	Left(ctx, "volume")
	Image(ctx, "a", "b")
}
