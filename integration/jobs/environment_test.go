package jobs

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

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
