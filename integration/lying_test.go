package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/lyingengine"
	"gitlab-sysbox-executor/integration/runner"
)

// liar is a place of its own behind a proxy that spoils calls.
type liar struct {
	*place
	proxy *lyingengine.Proxy
}

func newLiar(t *testing.T) liar {
	t.Helper()
	dir, err := os.MkdirTemp(world.dir, "lying-")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := lyingengine.Start(filepath.Join(dir, "docker.sock"), strings.TrimPrefix(world.engine.Host, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	return liar{newPlace(t, settings{host: proxy.Host, other: "[cleanup]\ntimeout = \"10s\""}), proxy}
}

// life is a job from prepare to gc, with an engine that speaks the truth from the
// gc on. It tells whether a call was spoiled and what is left.
func (l liar) life(t *testing.T) (spoiled bool, left []string) {
	j := job(t, "bookworm", "true")
	j.ID = newProject()
	s := l.session(t, j)
	if s.Prepare(t.Context()).Err == nil {
		_ = s.Run(t.Context(), runner.StagePrepareScript) // what it comes to is not the question here
	}
	s.Cleanup()
	spoiled = l.proxy.Heal()
	l.gc(t)
	return spoiled, l.left(t, j.ID)
}

// lie is one fault of one call, so many times in a row.
type lie struct {
	call  lyingengine.Call
	fault lyingengine.Fault
	times int
}

// lies are all combinations or, without GSX_ALL_LIES=1, so many that each call and
// each fault is among them.
func lies(calls []lyingengine.Call) (all []lie) {
	for i, c := range calls {
		for j, f := range lyingengine.Faults() {
			if os.Getenv("GSX_ALL_LIES") == "" && (i+j)%len(calls) != 0 {
				continue
			}
			// Once, as a hiccup; and so often that no try of prepare's or cleanup's gets past it.
			all = append(all, lie{c, f, 1 + (i+j/2)%2*99})
		}
	}
	return all
}

// Issue 5, 3: every call of a job's life, spoiled by every fault; then one
// cleanup and one gc leave nothing. Most of such a life is waiting, so several are
// led at a time.
func TestLyingEngine(t *testing.T) {
	liars := []liar{newLiar(t), newLiar(t), newLiar(t), newLiar(t)}
	compare := liars[0].unchanged(t)
	if _, left := liars[0].life(t); len(left) > 0 { // nothing is spoiled: which calls there are
		t.Fatal(left)
	}
	calls := slices.Sorted(maps.Keys(liars[0].proxy.Seen()))
	if len(calls) < 12 {
		t.Fatalf("only these calls: %v", calls)
	}
	all := lies(calls)
	queue := make(chan lie, len(all))
	for _, l := range all {
		queue <- l
	}
	close(queue)
	var mu sync.Mutex
	tried, met := 0, 0
	var wg sync.WaitGroup
	for _, l := range liars {
		wg.Go(func() {
			for told := range queue {
				began := time.Now()
				l.proxy.Spoil(told.call, told.fault, told.times)
				spoiled, left := l.life(t)
				what := fmt.Sprintf("%s, %s, %d times", told.call, told.fault.Name, told.times)
				t.Logf("%s: %s", what, time.Since(began).Round(100*time.Millisecond))
				if len(left) > 0 {
					t.Errorf("%s, left behind: %v", what, left)
					l.gc(t) // the next one starts afresh
				}
				mu.Lock()
				if tried++; spoiled {
					met++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	compare() // what bears no label of ours, too
	fmt.Printf("lying engine: %d combinations tried, of %d calls and %d faults; the fault was met in %d\n", tried, len(calls), len(lyingengine.Faults()), met)
	if tried != len(all) || met < tried*9/10 {
		t.Errorf("%d of %d were tried, and the fault was met in %d only", tried, len(all), met)
	}
}
