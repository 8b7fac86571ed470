package hostile

import (
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A job's TMPDIR is made with its user's rights, in its container and in those of its
// services: it opens no folder of root's.
func TestHostileTMPDIR(t *testing.T) {
	t.Parallel()
	asUser := func(dir string, script ...string) runner.Job {
		j := harness.With(harness.Job(t, "user1000", script...), runner.Var("TMPDIR", dir))
		j.Services = []runner.Image{harness.Service(t, "user1000", "x", "sh", "-c",
			"trap exit TERM; until stat -c 'the service has %U %a' /etc >/builds/seen; do sleep 0.1; done 2>/dev/null; sleep 1000 & wait")}
		return j
	}
	t.Run("a folder of root's", func(t *testing.T) {
		t.Parallel()
		p := harness.NewPlace(t, harness.Settings{})
		r := p.Succeed(t, asUser("/etc", "id -u", "stat -c 'the job has %U %a' /etc", "until [ -s /builds/seen ]; do sleep 0.1; done", "cat /builds/seen"))
		harness.WantLines(t, r, "1000", "the job has root 755", "the service has root 755")
	})
	t.Run("a new folder where root's are", func(t *testing.T) {
		t.Parallel()
		p := harness.NewPlace(t, harness.Settings{})
		_, call := p.Prepared(t, asUser("/usr/lib/x86_64-linux-gnu/glibc-hwcaps", "true"))
		harness.WantRefused(t, call, "folder /usr/lib/x86_64-linux-gnu/glibc-hwcaps", "permission denied")
	})
	t.Run("folders of its own", func(t *testing.T) {
		t.Parallel()
		for _, dir := range []string{"/tmp/a/b", "/builds/tmp", "/var/lib/containers/a/b"} {
			p := harness.NewPlace(t, harness.Settings{})
			harness.WantLines(t, p.Succeed(t, asUser(dir, `stat -c 'TMPDIR %a' "$TMPDIR"`, `touch "$TMPDIR/x"`)), "TMPDIR 1777")
		}
	})
}
