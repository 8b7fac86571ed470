package hostile

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A job that fills its folders keeps nothing of them: what is too large goes when it
// ends, its Runner's log says so, and so does the log of the next job. What is within
// the limit stays.
func TestHostileKeptVolumeTooLarge(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Keep: true, Other: "[gc]\ninterval = \"0s\"\nvolume_size = \"30MiB\""})
	project := harness.NewProject()
	play := func(script string) *runner.Result {
		t.Helper()
		j := harness.Job(t, "bookworm", script)
		j.ProjectID = project
		return p.Succeed(t, j)
	}
	volumes := func(kind string) (n int) {
		t.Helper()
		for _, v := range p.KeptVolumes(t) {
			if v.Kind == kind {
				n++
			}
		}
		return n
	}
	play("head -c 1M /dev/zero >/builds/small; head -c 1M /dev/zero >/cache/small")
	r := play("head -c 40M /dev/zero >/builds/large; ls /cache")
	harness.WantLines(t, r, "small")
	if builds, cache := volumes("builds"), volumes("cache"); builds != 0 || cache != 1 {
		t.Errorf("%d volumes with builds and %d with caches\n%s", builds, cache, r.Call("cleanup"))
	}
	if out := r.Call("cleanup").Output.String(); !strings.Contains(out, "with the project's builds was removed and not kept: it had 41") || !strings.Contains(out, "gc.volume_size") {
		t.Errorf("the Runner's log does not say so:\n%s", out)
	}
	r = play("ls -A /builds /cache; head -c 40M /dev/zero >/cache/large")
	harness.WantLines(t, r, "small")
	harness.WantSaid(t, r, "prepare", "The folder /builds was not kept when the last job with it had ended: it had 41")
	if builds, cache := volumes("builds"), volumes("cache"); builds != 1 || cache != 0 {
		t.Errorf("%d volumes with builds and %d with caches\n%s", builds, cache, r.Call("cleanup"))
	}
	r = play("ls -A /cache")
	harness.WantSaid(t, r, "prepare", "The folder /cache was not kept")
	if r = play("true"); strings.Contains(r.Call("prepare").Output.String(), "was not kept") {
		t.Errorf("said twice:\n%s", r.Call("prepare"))
	}
}
