package cases

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// What docs/cases/runc.md says runs and is removed, as root and as
// another user.
func TestRuncRunsAndDeletes(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	for _, user := range []string{"root", "builder"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, "runc-good", pages.Commands(t, "docs/cases/runc.md", "mkdir"), pages.Commands(t, "docs/cases/runc.md", "runc --version"),
				`[ "$(runc --root "$TMPDIR/runc" list --quiet)" = "" ] && echo "none left of $(id -un)"`)
			j.Image.User = user
			harness.WantLines(t, p.Succeed(t, j), "in the container", "none left of "+user)
		})
	}
}

// The config.json of `runc spec` works for root. That of `runc spec --rootless`
// mounts a procfs in a nested user namespace: the stand-in does not keep the kernel
// from it, Sysbox does, and the job is told what works.
func TestRuncSpec(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	for user, flag := range map[string]string{"root": "", "builder": " --rootless"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, "runc-good", harness.Lines(
				"mkdir -p bundle/rootfs/bin && cp /bin/busybox bundle/rootfs/bin/sh && cd bundle && runc spec"+flag,
				`sed -i 's/"terminal": true/"terminal": false/; s/^\(\s*\)"sh"$/\1"sh", "-c", "echo in the container"/' config.json`,
				`runc --root "$TMPDIR/runc" run only </dev/null`,
			))
			j.Image.User = user
			if user == "root" || harness.World.Runtime != "sysbox-runc" {
				harness.WantLines(t, p.Succeed(t, j), "in the container")
				return
			}
			r := p.Runner.Play(j)
			if r.Outcome != runner.ScriptFailure || strings.Count(r.Call(runner.StageBuild).Output.String(), "(docs/cases/runc.md)") != 1 {
				t.Error(r)
			}
		})
	}
}
