package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Without a word in the configuration no container of a job can take all processes
// of the host, and none fills the disk with its log.
func TestHostileDefaultLimits(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", `head -c 40M /dev/zero | tr '\0' x | fold -w 1000 >/proc/1/fd/1`)
	j.Services = []runner.Image{{Name: harness.Image(t, "bookworm"), Alias: "s", PullPolicies: []string{"if-not-present"}, Command: []string{"sleep", "1000"}}}
	j.ID = harness.NewProject()
	s := p.Ready(t, j)
	containers, err := harness.World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", j.ID))
	if err != nil || len(containers) != 2 {
		t.Fatalf("%v %v", containers, err)
	}
	log := ""
	for _, c := range containers {
		found, err := harness.World.Engine.Inspect(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		h := found.HostConfig
		if h.PidsLimit != 16384 || h.LogConfig.Config["max-size"] != "10m" || h.LogConfig.Config["max-file"] != "3" {
			t.Errorf("%s: %d processes, log %v", c.Name, h.PidsLimit, h.LogConfig)
		}
		if c.Labels["io.gitlab-sysbox-executor.role"] == "build" {
			log = found.LogPath
		}
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil {
		t.Fatal(call)
	}
	logs, err := filepath.Glob(log + "*")
	if err != nil || len(logs) < 2 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	var size int64
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil { // else it was rotated away
			size += info.Size()
		}
	}
	if size > 32<<20 {
		t.Errorf("the container's log takes %d bytes", size)
	}
}
