package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/leftovers"
	"gitlab-sysbox-executor/integration/lyingengine"
	"gitlab-sysbox-executor/integration/runner"
)

// Issue 5, 3: every call of a job's life, spoiled by every fault; then one
// cleanup and one gc leave nothing. GSX_ALL_LIES=1 tries each combination; without
// it each call and each fault is tried several times, but not each with each.
func TestLyingEngine(t *testing.T) {
	dir, err := os.MkdirTemp(world.dir, "lying-")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := lyingengine.Start(filepath.Join(dir, "docker.sock"), strings.TrimPrefix(world.engine.Host, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	p := newPlace(t, settings{host: proxy.Host, other: "[cleanup]\ntimeout = \"10s\""})
	before := p.snapshot(t)

	reached := false
	life := func() {
		s := p.session(t, job(t, "bookworm", "true"))
		if s.Prepare(t.Context()).Err == nil {
			_ = s.Run(t.Context(), runner.StagePrepareScript) // what it comes to is not the question here
		}
		s.Cleanup()
		reached = proxy.Heal()
		p.gc(t)
	}
	life() // nothing is spoiled: which calls there are
	calls := slices.Sorted(maps.Keys(proxy.Seen()))
	if len(calls) < 12 {
		t.Fatalf("only these calls: %v", calls)
	}
	if diff := leftovers.Diff(before, p.snapshot(t)); diff != "" {
		t.Fatal(diff)
	}

	tried, spoiled := 0, 0
	for i, c := range calls {
		for j, f := range lyingengine.Faults() {
			if os.Getenv("GSX_ALL_LIES") == "" && (i+j)%18 != 0 {
				continue
			}
			tried++
			// Once, as a hiccup; and so often that no try of prepare's or cleanup's gets past it.
			times := 1 + (i+j)%2*99
			proxy.Spoil(c, f, times)
			life()
			if reached {
				spoiled++
			}
			if diff := leftovers.Diff(before, p.snapshot(t)); diff != "" {
				t.Errorf("%s, %s, %d times, left behind:\n%s", c, f.Name, times, diff)
				p.gc(t) // the next one starts afresh
			}
		}
	}
	fmt.Printf("lying engine: %d combinations tried, of %d calls and %d faults; the fault was met in %d\n", tried, len(calls), len(lyingengine.Faults()), spoiled)
	if spoiled < tried*9/10 {
		t.Errorf("the fault was met in %d of %d only", spoiled, tried)
	}
}
