package jobs

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// apart is a range beside the one that all other tests' jobs use: 10.1.128.0/18 becomes 10.1.N.0.
func apart(t *testing.T, n byte, length int) netip.Prefix {
	t.Helper()
	p, err := netip.ParsePrefix(harness.World.Subnets)
	if err != nil {
		t.Fatal(err)
	}
	a := p.Addr().As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a[0], a[1], n, 0}), length)
}

func docker(t *testing.T, args ...string) {
	t.Helper()
	if out, err := harness.Command(time.Minute, "docker", append([]string{"-H", harness.World.Engine.Host}, args...)...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A job's network gets a subnet that nobody has, and the job fails with the reason if there is none.
func TestSubnets(t *testing.T) {
	t.Parallel()
	half, quarters := apart(t, 240, 27), apart(t, 240, 25)
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[network]\nsubnets = [%q]\nexcluded_subnets = [%q]\n",
		quarters, strings.Replace(half.String(), ".0/27", ".64/26", 1))}) // two are left
	name := fmt.Sprintf("gsx-test-%d", time.Now().UnixNano())
	docker(t, "network", "create", "--subnet", half.String(), name)
	removed := false
	defer func() {
		if !removed {
			docker(t, "network", "rm", name)
		}
	}()
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	_, refused := p.Prepared(t, harness.Job(t, "bookworm", "true"))
	if refused.Err == nil {
		t.Error(refused)
	}
	harness.WantTold(t, refused, "no /27 is free in network.subnets ("+quarters.String()+")")
	docker(t, "network", "rm", name)
	removed = true
	harness.WantCleanup(t, p.Ready(t, harness.Job(t, "bookworm", "true")))
	harness.WantCleanup(t, s)
}

// Docker's own pools hold 31 networks. As a whole, the test has a hundred jobs at once beside a hundred other
// networks in the same range.
func TestHundredJobs(t *testing.T) {
	t.Parallel()
	jobs := 100 / harness.Step(25)
	all := apart(t, 192, 27-bits.Len(uint(2*jobs-1))) // at least twice as many subnets as jobs
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[network]\nsubnets = [%q]\n[storage]\nsize = \"512MiB\"\n", all)})
	compare := p.Unchanged(t)
	first := all.Addr()
	var others []string
	for n := range jobs {
		name := fmt.Sprintf("gsx-test-%d-%d", time.Now().UnixNano(), n)
		docker(t, "network", "create", "--subnet", netip.PrefixFrom(first, 27).String(), name)
		others = append(others, name)
		for range 64 { // every other subnet
			first = first.Next()
		}
	}
	sessions := make([]*runner.Session, jobs)
	for n := range sessions {
		sessions[n] = p.Configured(t, harness.Job(t, "bookworm", "true"))
	}
	each := func(do func(*runner.Session)) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, 10)
		for _, s := range sessions {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				do(s)
			})
		}
		wg.Wait()
	}
	each(func(s *runner.Session) {
		if call := s.Prepare(t.Context()); call.Err != nil {
			t.Error(call)
		}
	})
	have, err := harness.World.Engine.Networks(t.Context(), "io.gitlab-sysbox-executor.job")
	if err != nil {
		t.Error(err)
	}
	found := 0
	for _, s := range sessions {
		found += len(slices.DeleteFunc(slices.Clone(have), func(o engine.Object) bool {
			return o.Labels["io.gitlab-sysbox-executor.job"] != fmt.Sprint(s.Job.ID)
		}))
	}
	if found != jobs {
		t.Errorf("%d networks of %d jobs at once", found, jobs)
	}
	each(func(s *runner.Session) {
		if call := s.Cleanup(); call.Err != nil {
			t.Error(call)
		}
	})
	docker(t, append([]string{"network", "rm"}, others...)...)
	compare()
}
