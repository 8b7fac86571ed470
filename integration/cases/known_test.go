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
	for name, c := range map[string]struct {
		script []string
		hint   string // empty: none
	}{
		"a mount program": {
			[]string{"mkdir context && printf 'FROM scratch\\nCOPY f /\\n' >context/Dockerfile && touch context/f", "buildah --storage-driver overlay --storage-opt overlay.mount_program=/usr/bin/fuse-overlayfs --root /graph --runroot /tmp/run build context"},
			"docs/cases/buildah.md",
		},
		"no device for FUSE": {[]string{"exec 3</dev/fuse"}, "docs/cases/buildah.md"},
		"no systemd":         {[]string{"echo 'System has not been booted with systemd as init system (PID 1).' >&2; exit 7"}, "EXECUTOR_SYSTEMD"},
		"a full disk":        {[]string{"mkdir full", "mount -t tmpfs -o size=64k tmpfs full", "trap 'umount full' EXIT", "head -c 1000000 /dev/zero >full/file"}, "docs/cases/buildah.md"},
		"unknown":            {[]string{"echo nothing special; exit 3"}, ""},
		"passing":            {[]string{"echo no space left on device"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.Runner.Play(harness.Job(t, "buildah", c.script...))
			said := r.Call(runner.StageBuild).Output.String()
			if got := strings.Count(said, "(docs/cases/"); c.hint == "" && got != 0 || c.hint != "" && (got != 1 || !strings.Contains(said, c.hint)) {
				t.Errorf("%d hints, want %q\n%s", got, c.hint, r)
			}
			if want := runner.ScriptFailure; (c.hint != "" || name == "unknown") && r.Outcome != want {
				t.Errorf("%s, want %s", r.Outcome, want)
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

// Known bad ones are told, one line each, and good ones are not.
func TestKnownBadVersions(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "runc-bad", "runc --version"))
	said := r.Call("prepare").Output.String()
	if strings.Count(said, "is known bad") != 1 || !strings.Contains(said, "runc 1.2.1 in image gsx-test/runc-bad:latest is known bad") {
		t.Error(r)
	}
	r = p.Succeed(t, harness.Job(t, "runc-good", "runc --version"))
	if said := r.Call("prepare").Output.String(); strings.Contains(said, "is known bad") {
		t.Error(r)
	}
}
