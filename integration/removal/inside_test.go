package removal

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// What is mounted from inside is taken down deepest first, whatever kind
// it is and though somebody stands in it; what the container itself has stays.
func TestUnmountFromInside(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Succeed(t, harness.Job(t, "bookworm", harness.Lines(
		"cd /var/lib/containers",
		"mkdir -p a lower upper work merged netns",
		"mount -t tmpfs tmpfs a && mkdir a/b && mount -t tmpfs tmpfs a/b && mkdir a/b/c && mount --bind /etc a/b/c",
		"mount -t tmpfs tmpfs work && mkdir work/upper work/work",
		"mount -t overlay overlay -o lowerdir=lower,upperdir=work/upper,workdir=work/work merged",
		"touch netns/n && mount --bind /proc/self/ns/net netns/n",
		"(cd a/b && exec sleep 60) &",
		"echo before $(grep -c ' /var/lib/containers/' /proc/self/mountinfo)",
		`echo '{"request":{"below":["/var/lib/containers"]}}' | /opt/gitlab-sysbox-executor/agent agent unmount`,
		"echo after $(grep -c ' /var/lib/containers/' /proc/self/mountinfo)",
		"echo volume $(grep -c ' /var/lib/containers ' /proc/self/mountinfo)",
		"kill %1",
	)))
	harness.WantLines(t, r, "before 6", `{"nonce":"","response":{}}`, "after 0", "volume 1")
}

// Mounts and processes of every kind, more of these than the job may have: the
// cleanup does not depend on starting one in the container.
func TestCleanupOfAJobThatUsedUpItsProcesses(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`, Other: "[resources]\npids_limit = 60"})
	compare := p.Unchanged(t)
	s := p.Ready(t, harness.Job(t, "bookworm", harness.Lines(
		"ulimit -n 64",
		"echo ready",
		"while true; do sleep 600 & done")))
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
		t.Fatal(err)
	}
	for deadline := 100; !strings.Contains(process.Output().String(), "Resource temporarily unavailable") && deadline > 0; deadline-- {
		if _, err := process.Wait(100 * time.Millisecond); err == nil {
			break
		}
	}
	if !strings.Contains(process.Output().String(), "Resource temporarily unavailable") {
		t.Errorf("the limit was not reached\n%s", process.Output())
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	call := s.Cleanup()
	if call.Err != nil || strings.Contains(call.Output.String(), "WARNING") {
		t.Error(call)
	}
	t.Logf("cleanup took %s", call.Duration)
	compare()
}
