package table

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// with adds variables to a job.
func with(variables ...runner.Variable) func(*runner.Job) {
	return func(j *runner.Job) { *j = harness.With(*j, variables...) }
}

// as runs a job as a user.
func as(user string, variables ...runner.Variable) func(*runner.Job) {
	return func(j *runner.Job) {
		*j = harness.With(*j, variables...)
		j.Image.User = user
	}
}

const hostile = "it's \"quoted\" $(id) `id` \\ %s ü€ \t end"

// tmpdir prints what a job's TMPDIR is like.
var tmpdir = []string{`echo "tmpdir [$TMPDIR]"`, `file=$(mktemp) && echo "made in $(dirname "$file")"`, `echo "mode $(stat -c %a "$TMPDIR")"`}

var cases = []Case{
	// How a script ends.
	{
		Name: "exit code", Script: []string{"printf unfinished; exit 42"}, After: []string{"true"},
		Outcome: runner.ScriptFailure, Exit: 42, Lines: []string{"unfinished"},
	},
	{Name: "exit codes of single stages", Script: []string{"true"}, Drive: exitCodes},
	{Name: "no stale code", Script: []string{"true"}, Drive: staleCode},
	{
		Name: "cancel", Run: `kill_grace = "2s"`, Script: harness.Stubborn, CancelAt: "ready",
		After:   append([]string{`echo "status $CI_JOB_STATUS"`}, harness.CountSleeps...),
		Outcome: runner.Canceled, Logged: []string{"status canceled", "sleeping 0"},
	},
	{
		Name: "background process", Run: `kill_grace = "2s"`, Script: []string{"sleep 3600 & echo started"},
		After: harness.CountSleeps, Logged: []string{"sleeping 0"}, Lines: []string{"started"},
		Check: func(t *testing.T, r *runner.Result) {
			if d := r.Call(runner.StageBuild).Duration; d > 20*time.Second {
				t.Errorf("the stage took %s\n%s", d, r)
			}
		},
	},
	{
		Name: "script that stops its container", Script: []string{"kill -TERM 1; sleep 1000"}, Outcome: runner.ScriptFailure, Exit: AnyExit,
		Check: func(t *testing.T, r *runner.Result) {
			harness.WantSaid(t, r, runner.StageBuild, "A process of the job stopped the job's container")
		},
	},

	// Input and output.
	{Name: "output", Script: []string{"seq 200000", "echo to stderr >&2", "printf 'no end'"}, Lines: []string{"to stderr", "no end"}, Check: countLines},
	{Name: "standard input", Script: []string{`echo "read [$(cat)]"`}, Lines: []string{"read []"}},
	{Name: "broken pipe", Script: []string{`set +e +o pipefail; yes | head -n 1 >/dev/null; echo "pipe ${PIPESTATUS[0]}"`}, Lines: []string{"pipe 141"}},
	{
		Name: "standard output by its name", Script: []string{"echo out >/dev/stdout", "echo err >/dev/stderr", "echo both | tee /dev/stderr >/dev/null"},
		Change: as("1000"), Lines: []string{"out", "err", "both"},
	},
	{Name: "GODEBUG", Script: []string{"sleep 7; echo done"}, Change: with(runner.Var("GODEBUG", "inittrace=1")), Lines: []string{"done"}},
	{Name: "long script", Script: []string{"echo ${#LONG}"}, Change: longScript, Lines: []string{"100000"}},
	{
		Name: "variables as written", Script: []string{`printf '%s\n' "$HOSTILE"`, `cat "$FILE"`, `stat -c 'kind %F' "$FILE"`},
		Change: with(runner.Variable{Key: "HOSTILE", Value: hostile, Raw: true, Masked: true}, runner.Variable{Key: "FILE", Value: "first\nsecond\n", File: true}),
		Lines:  []string{hostile, "first", "second", "kind regular file"},
	},

	// Users and entrypoints of the job.
	{Name: "user", Change: as("1000"), Script: []string{"echo uid $(id -u) gid $(id -g) home $HOME", "touch file && echo writable"}, Lines: []string{"uid 1000 gid 0 home /", "writable"}},
	{Name: "user by name", Change: as("nobody"), Script: []string{"echo uid $(id -u) gid $(id -g) home $HOME", "touch file && echo writable"}, Lines: []string{"uid 65534 gid 65534 home /nonexistent", "writable"}},
	{Name: "entrypoint", Change: entrypoint("sh", "-c", `LONG=$0 exec "$@"`, strings.Repeat("&", 100_000)), Script: []string{`echo "length ${#LONG}"`}, Lines: []string{"length 100000"}},
	{
		Name: "entrypoint that is not there", Change: entrypoint("/no/such"), Script: []string{"echo the job goes on"}, Lines: []string{"the job goes on"},
		Check: func(t *testing.T, r *runner.Result) {
			harness.WantTold(t, r.Call("prepare"), `The image's entrypoint could not be started: entrypoint "/no/such": `, "no such file or directory")
		},
	},

	// Storage and TMPDIR.
	{
		Name: "storage driver", Image: "buildah", Change: with(runner.Var("STORAGE_DRIVER", "overlay")),
		Script: []string{
			harness.BuildahDriver("plain", "buildah"), harness.BuildahDriver("bare", "env -i /usr/bin/buildah"), `echo "variable $STORAGE_DRIVER"`,
			harness.BuildahDriver("options", "env STORAGE_OPTS= buildah"),
		},
		Lines: []string{"plain vfs", "bare vfs", "variable vfs", "options vfs"},
	},
	{
		Name: "storage driver of a user", Image: "buildah", Change: as("builder"),
		Script: []string{harness.BuildahDriver("plain", "buildah"), harness.BuildahDriver("bare", "env -i HOME=$HOME PATH=$PATH buildah")},
		Lines:  []string{"plain vfs", "bare vfs"},
	},
	{
		Name: "storage volume",
		Script: []string{
			"echo mounted $(grep -c ' /var/lib/containers ' /proc/self/mounts)",
			`[ $(stat -c %d "$TMPDIR") = $(stat -c %d /var/lib/containers) ] && echo one file system`,
			`echo "isolation $BUILDAH_ISOLATION"`,
		},
		Lines: []string{"mounted 1", "one file system", "isolation chroot"},
	},
	{Name: "TMPDIR", Script: tmpdir, Lines: []string{"tmpdir [/gsx/tmp]", "made in /gsx/tmp", "mode 1777"}},
	{Name: "TMPDIR of the job", Script: tmpdir, Change: as("0", runner.Var("TMPDIR", "/some/other path")), Lines: []string{"tmpdir [/some/other path]", "made in /some/other path", "mode 1777"}},
	{
		Name: "TMPDIR of a user", Script: tmpdir, Change: as("1000", runner.Var("TMPDIR", "/var/tmp/some/path")),
		Lines: []string{"tmpdir [/var/tmp/some/path]", "made in /var/tmp/some/path", "mode 1777"},
	},
	{
		Name: "build", Image: "buildah", Script: harness.BuildScript(),
		Check: func(t *testing.T, r *runner.Result) { harness.WantBuilt(t, r.Log.String()) },
	},
}

func entrypoint(words ...string) func(*runner.Job) {
	return func(j *runner.Job) { j.Image.Entrypoint = words }
}

// longScript has variables that are in the script of each stage.
func longScript(j *runner.Job) {
	*j = harness.With(*j, runner.Var("LONG", strings.Repeat("x", 100_000)))
	for n := range 10 {
		*j = harness.With(*j, runner.Var("LONG"+strconv.Itoa(n), strings.Repeat("y", 50_000)))
	}
}

// countLines wants the lines of seq, whole and in order.
func countLines(t *testing.T, r *runner.Result) {
	next := 1
	for _, line := range r.Call(runner.StageBuild).Output.Lines() {
		if line.Text == strconv.Itoa(next) {
			next++
		}
	}
	if next != 200001 {
		t.Errorf("lines are missing or out of order from %d on", next)
	}
}

// codeOf is what the driver has written about a script's exit code.
func codeOf(t *testing.T, s *runner.Session) string {
	t.Helper()
	text, err := os.ReadFile(s.CodeFile())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

func exitCodes(t *testing.T, s *runner.Session) {
	for _, c := range []struct {
		script string
		code   int
	}{
		{"exit 42", 42},
		{"exit 0", 0}, // the code of the stage before must be gone
		{"exit 1", 1},
		{"exit 255", 255},
		{"kill -KILL $$", 137},
		{"set -e; false; true", 1},
		{"/nonexistent", 127},
	} {
		call := s.RunScript(t.Context(), runner.StageBuild, "#!/usr/bin/env bash\n"+c.script+"\n")
		wantExit, wantFile := 0, ""
		if c.code != 0 {
			wantExit, wantFile = 1, strconv.Itoa(c.code)
		}
		if call.Exit != wantExit || codeOf(t, s) != wantFile {
			t.Errorf("%s: exit %d and code %q, want %d and %q\n%s", c.script, call.Exit, codeOf(t, s), wantExit, wantFile, call)
		}
	}
}

// staleCode wants the code of a failed stage to be no other stage's.
func staleCode(t *testing.T, s *runner.Session) {
	if err := os.WriteFile(s.CodeFile(), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil {
		t.Fatal(call)
	}
	if text, err := os.ReadFile(s.CodeFile()); !os.IsNotExist(err) {
		t.Errorf("a stale code is still there: %q %v", text, err)
	}
}
