package jobs

import (
	"cmp"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// The storage driver stays vfs however the environment is lost or overridden.
func TestStorageDriverIsEnforced(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "buildah",
		harness.BuildahDriver("plain", "buildah"),
		harness.BuildahDriver("bare", "env -i /usr/bin/buildah"),
		`echo "variable $STORAGE_DRIVER"`,
		harness.BuildahDriver("options", "env STORAGE_OPTS= buildah"),
	), runner.Var("STORAGE_DRIVER", "overlay"))
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "plain vfs", "bare vfs", "variable vfs", "options vfs")
}

func TestRootlessStorageDriverIsEnforced(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "buildah", harness.BuildahDriver("plain", "buildah"), harness.BuildahDriver("bare", "env -i HOME=$HOME PATH=$PATH buildah"))
	j.Image.User = "builder"
	harness.WantLines(t, p.Succeed(t, j), "plain vfs", "bare vfs")
}

func TestStorageVolume(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "bookworm",
		"echo mounted $(grep -c ' /var/lib/containers ' /proc/self/mounts)",
		`[ $(stat -c %d "$TMPDIR") = $(stat -c %d /var/lib/containers) ] && echo one file system`,
		`echo "mode $(stat -c %a "$TMPDIR")"`,
		`echo "isolation $BUILDAH_ISOLATION"`))
	harness.WantLines(t, r, "mounted 1", "one file system", "mode 1777", "isolation chroot")
}

// What a job's variable TMPDIR means; the Runner exports it in the script.
func TestTMPDIR(t *testing.T) {
	t.Parallel()
	script := []string{
		`echo "tmpdir [$TMPDIR]"`,
		`file=$(mktemp) && echo "made in $(dirname "$file")"`,
		`echo "mode $(stat -c %a "$TMPDIR")"`,
	}
	const ours = "/gsx/tmp"
	for name, paths := range harness.SomeOf(2, map[string][]string{ // of root's, and of a user that may make no folder in the root
		"no variable":        nil,
		"empty":              {"", ""},
		"a path":             {"/some/path", "/tmp/some/path"},
		"a path with spaces": {"/some/other path", "/var/tmp/some/other path"},
	}) {
		for n, user := range []string{"0", "1000"} {
			t.Run(name+" as "+user, func(t *testing.T) {
				t.Parallel()
				p := harness.NewPlace(t, harness.Settings{})
				j := harness.Job(t, "bookworm", script...)
				want := ours
				if paths != nil {
					j, want = harness.With(j, runner.Var("TMPDIR", paths[n])), cmp.Or(paths[n], ours)
				}
				j.Image.User = user
				harness.WantLines(t, p.Succeed(t, j), "tmpdir ["+want+"]", "made in "+want, "mode 1777")
			})
		}
	}
}

// Nothing of the host's environment reaches the container, by any way.
func TestHostEnvironmentStaysOutside(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	p.Runner.Env = []string{"GSX_SECRET=hunter2-of-the-host", "HOME=/home/of-the-host", "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/path/of-the-host"}
	s := p.Ready(t, harness.Job(t, "bookworm", "env", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'", "echo $HOME $PATH"))
	call := s.Run(t.Context(), runner.StageBuild)
	if call.Err != nil {
		t.Fatal(call)
	}
	c, err := harness.World.Engine.Inspect(t.Context(), p.Container(t, s))
	if err != nil {
		t.Fatal(err)
	}
	seen := call.Output.String() + strings.Join(c.Config.Env, "\n")
	if !strings.Contains(seen, "CI_JOB_ID=") {
		t.Errorf("the script's environment was not seen at all:\n%s", seen)
	}
	for line := range strings.Lines(seen) {
		if strings.Contains(line, "of-the-host") || strings.Contains(line, s.Dir) || strings.Contains(line, "CUSTOM_ENV_") {
			t.Errorf("of the host's: %s", line)
		}
	}
}

// Sysbox refuses unknown SYSBOX_ variables, and known ones change a container.
func TestSysboxVariablesStayOutOfTheContainer(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	s := p.Ready(t, harness.With(harness.Job(t, "bookworm", "cat /proc/1/environ | tr '\\0' '\\n'", "echo done"),
		runner.Var("SYSBOX_NONSENSE", "1"), runner.Var("SYSBOX_SKIP_UID_SHIFT", "/etc")))
	call := s.Run(t.Context(), runner.StageBuild)
	c, err := harness.World.Engine.Inspect(t.Context(), p.Container(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if call.Err != nil || !call.Output.Has("done") {
		t.Fatal(call)
	}
	for line := range strings.Lines(call.Output.String() + strings.Join(c.Config.Env, "\n")) {
		if strings.HasPrefix(line, "SYSBOX_") {
			t.Errorf("in the container: %s", line)
		}
	}
}

// Variables arrive as they were written, files as paths, masked or not.
func TestVariablesArriveAsWritten(t *testing.T) {
	t.Parallel()
	hostile := "it's \"quoted\" $(id) `id` \\ %s ü€ \t end"
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.With(harness.Job(t, "bookworm", `printf '%s\n' "$HOSTILE"`, `cat "$FILE"`, `stat -c 'kind %F' "$FILE"`),
		runner.Variable{Key: "HOSTILE", Value: hostile, Raw: true, Masked: true},
		runner.Variable{Key: "FILE", Value: "first\nsecond\n", File: true})
	harness.WantLines(t, p.Succeed(t, j), hostile, "first", "second", "kind regular file")
}

func TestTheContainerIsWhatTheConfigurationSays(t *testing.T) {
	t.Parallel()
	harness.NeedsMemoryController(t)
	p := harness.NewPlace(t, harness.Settings{Other: "[resources]\nmemory = \"256m\"\n"})
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	c, err := harness.World.Engine.Inspect(t.Context(), p.Container(t, s))
	if err != nil {
		t.Fatal(err)
	}
	h := c.HostConfig
	if h.Runtime != harness.World.Runtime || !h.AutoRemove || h.Privileged || h.Memory != 256<<20 {
		t.Errorf("%+v", h)
	}
	volume := false
	for _, m := range c.Mounts {
		volume = volume || m.Type == "volume" && m.Destination == "/var/lib/containers"
	}
	if !volume {
		t.Errorf("no volume at /var/lib/containers: %+v", c.Mounts)
	}
}
