package removal

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

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/lyingengine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// liar is a place of its own behind a proxy that spoils calls. Its cleanup gives up
// early; its gc has the time that is usual.
type liar struct {
	*harness.Place
	patient *harness.Place
	proxy   *lyingengine.Proxy
}

func newLiar(t *testing.T) liar {
	t.Helper()
	dir, err := os.MkdirTemp(harness.World.Dir, "lying-")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := lyingengine.Start(filepath.Join(dir, "docker.sock"), strings.TrimPrefix(harness.World.Engine.Host, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	p := harness.NewPlace(t, harness.Settings{Host: proxy.Host})
	return liar{hasty(t, p, "10s"), p, proxy}
}

// hasty is the place with another time limit of cleanup.
func hasty(t *testing.T, p *harness.Place, timeout string) *harness.Place {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Dir, "config.toml"))
	config := filepath.Join(p.Dir, "hasty.toml")
	if err == nil {
		err = os.WriteFile(config, append(text, "[cleanup]\ntimeout = \""+timeout+"\"\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := *p
	h.Runner.Driver = runner.NewDriver(harness.World.Binary, "--config", config)
	return &h
}

// life is a job from prepare to gc, with an engine that speaks the truth from the
// gc on. It tells whether a call was spoiled and what is left.
func (l liar) life(t *testing.T) (spoiled bool, left []string) {
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s := l.Session(t, j)
	if s.Prepare(t.Context()).Err == nil {
		_ = s.Run(t.Context(), runner.StagePrepareScript) // what it comes to is not the question here
	}
	s.Cleanup()
	spoiled = l.proxy.Heal()
	l.patient.GC(t)
	return spoiled, l.Left(t, j.ID)
}

// lie is one fault of one call, so many times in a row.
type lie struct {
	call  lyingengine.Call
	fault lyingengine.Fault
	times int
}

// lies are, with GSX_ALL_LIES=1, all combinations; with the name of a call there, all
// of that; without it so many that each call and each fault is among them.
func lies(calls []lyingengine.Call) (all []lie) {
	wanted := os.Getenv("GSX_ALL_LIES")
	for i, c := range calls {
		for j, f := range lyingengine.Faults() {
			if wanted == "" && (i+j)%len(calls) != 0 || wanted != "" && wanted != "1" && wanted != string(c) {
				continue
			}
			// Once, as a hiccup; and so often that no try of prepare's or cleanup's gets past it.
			all = append(all, lie{c, f, 1 + (i+j/2)%2*99})
		}
	}
	return all
}

// Every call of a job's life, spoiled by every fault; then one
// cleanup and one gc leave nothing. Most of such a life is waiting, so several are
// led at a time.
func TestLyingEngine(t *testing.T) {
	t.Parallel()
	liars := []liar{newLiar(t), newLiar(t), newLiar(t), newLiar(t)}
	var compare []func()
	for _, l := range liars {
		compare = append(compare, l.Unchanged(t))
	}
	if _, left := liars[0].life(t); len(left) > 0 { // nothing is spoiled: which calls there are
		t.Fatal(left)
	}
	calls := slices.Sorted(maps.Keys(liars[0].proxy.Seen()))
	if len(calls) < 12 {
		t.Fatalf("only these calls: %v", calls)
	}
	all := lies(calls)
	if len(all) == 0 {
		t.Fatalf("GSX_ALL_LIES=%q: want 1 or one of %q", os.Getenv("GSX_ALL_LIES"), calls)
	}
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
					l.patient.GC(t) // the next one starts afresh
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
	for _, c := range compare {
		c() // mounts, processes and files, too
	}
	fmt.Printf("lying engine: %d combinations tried, of %d calls and %d faults; the fault was met in %d\n", tried, len(calls), len(lyingengine.Faults()), met)
	if tried != len(all) || met < tried*9/10 {
		t.Errorf("%d of %d were tried, and the fault was met in %d only", tried, len(all), met)
	}
}

// A container that the engine denies having when it is asked to stop it is removed
// all the same, by cleanup alone.
func TestStopThatIsDenied(t *testing.T) {
	t.Parallel()
	l := newLiar(t)
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s := l.Ready(t, j)
	l.proxy.Spoil("POST /containers/*/stop", lyingengine.Fault{Status: 404, Message: "No such container: x"}, 1_000_000)
	harness.WantCleanup(t, s)
	if !l.proxy.Heal() {
		t.Error("nobody was asked to stop anything")
	}
	if left := l.Left(t, j.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// belated is a job whose prepare ended while the engine was asked for something, which
// it makes when come is called.
func belated(t *testing.T, c lyingengine.Call) (l liar, s *runner.Session, come func()) {
	t.Helper()
	l = newLiar(t)
	j := harness.Job(t, "bookworm", "true")
	j.ID = harness.NewProject()
	s = l.Session(t, j)
	late := make(chan struct{})
	l.proxy.Spoil(c, lyingengine.Fault{Reset: true, Hold: late, Done: true}, 1)
	if call := s.Prepare(t.Context()); call.Err == nil {
		t.Error(call)
	}
	return l, s, func() {
		close(late)
		l.proxy.Heal()
	}
}

// Cleanup removes the volumes of a killed prepare before the container comes that
// the engine is still making: the volumes that it makes anew for it go, too.
func TestVolumesMadeAnew(t *testing.T) {
	t.Parallel()
	l, s, come := belated(t, "POST /containers/create")
	first, err := harness.World.Engine.Volumes(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(first) < 2 {
		t.Fatal(first, err)
	}
	for _, v := range first {
		harness.Ask(t, "DELETE", "/volumes/"+v.Name, nil)
	}
	come()
	all := func() (names []string) {
		volumes, err := harness.World.Engine.Volumes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range volumes {
			if strings.Contains(v.Name, fmt.Sprintf("-j%d", s.Job.ID)) {
				names = append(names, v.Name)
			}
		}
		return names
	}
	if len(all()) < len(first) {
		t.Errorf("the engine has made only %v anew", all())
	}
	harness.WantCleanup(t, s)
	if left := append(l.Left(t, s.Job.ID), all()...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
