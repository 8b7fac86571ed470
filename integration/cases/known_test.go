package cases

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// One line when a failure is known, none otherwise.
func TestHints(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	for name, c := range harness.SomeOf(4, map[string]struct {
		script  []string
		hint    string // empty: none
		outcome runner.Outcome
	}{
		"a mount program": {
			[]string{"mkdir context && printf 'FROM scratch\\nCOPY f /\\n' >context/Dockerfile && touch context/f", "buildah --storage-driver overlay --storage-opt overlay.mount_program=/usr/bin/fuse-overlayfs --root /graph --runroot /tmp/run build context"},
			"docs/cases/buildah.md", runner.ScriptFailure,
		},
		"no device for FUSE": {[]string{"exec 3</dev/fuse"}, "docs/cases/buildah.md", runner.ScriptFailure},
		"no systemd":         {[]string{"echo 'System has not been booted with systemd as init system (PID 1).' >&2; exit 7"}, "EXECUTOR_SYSTEMD", runner.ScriptFailure},
		"a full disk":        {[]string{"mkdir full", "mount -t tmpfs -o size=64k tmpfs full", "trap 'umount full' EXIT", "head -c 1000000 /dev/zero >full/file"}, "docs/cases/buildah.md", runner.ScriptFailure},
		"unknown":            {[]string{"echo nothing special; exit 3"}, "", runner.ScriptFailure},
		"passing":            {[]string{"echo no space left on device"}, "", runner.Success},
	}) {
		t.Run(name, func(t *testing.T) {
			r := p.Runner.Play(harness.Job(t, "buildah", c.script...))
			said := r.Call(runner.StageBuild).Output.String()
			if got := strings.Count(said, "(docs/cases/"); c.hint == "" && got != 0 || c.hint != "" && (got != 1 || !strings.Contains(said, c.hint)) {
				t.Errorf("%d hints, want %q\n%s", got, c.hint, r)
			}
			if r.Outcome != c.outcome {
				t.Errorf("%s, want %s", r.Outcome, c.outcome)
			}
		})
	}
}

// A failure in after_script is no failure of the job's, unless the
// job says so.
func TestHintsInAfterScript(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", "true")
	j.AfterScript = []string{"exec 3</dev/fuse"}
	if r := p.Succeed(t, j); strings.Contains(r.Log.String(), "(docs/cases/") {
		t.Errorf("a hint in a passing job\n%s", r)
	}
	r := p.Runner.Play(harness.With(j, runner.Var("AFTER_SCRIPT_IGNORE_ERRORS", "false")))
	if r.Outcome != runner.ScriptFailure || strings.Count(r.Log.String(), "(docs/cases/buildah.md)") != 1 {
		t.Errorf("%s, want one hint\n%s", r.Outcome, r)
	}
}

// A script that fails has a line for each known bad tool, as its job would run it. A job
// that passes has none, and prepare asks no tool.
func TestKnownBadVersions(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	for name, c := range map[string]struct {
		image, script string
		outcome       runner.Outcome
		bad           int // lines
	}{
		"bad, and it fails":  {"runc-bad", "runc --version; exit 3", runner.ScriptFailure, 1},
		"bad, and it passes": {"runc-bad", "runc --version", runner.Success, 0},
		"good":               {"runc-good", "runc --version; exit 3", runner.ScriptFailure, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.Runner.Play(harness.Job(t, c.image, c.script))
			said := r.Call(runner.StageBuild).Output.String()
			if r.Outcome != c.outcome || strings.Count(r.Log.String(), "is known bad") != c.bad || strings.Count(said, "runc 1.2.1 in image gsx-test/runc-bad:latest is known bad") != c.bad {
				t.Error(r)
			}
		})
	}
}
