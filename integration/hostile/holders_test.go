package hostile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// behind are the host's folders behind the session's job: its volume's and those of
// its container's root.
func behind(t *testing.T, s *runner.Session) []string {
	t.Helper()
	volume, _ := harness.Ask(t, "GET", "/volumes/"+harness.JobName(t, s), nil)["Mountpoint"].(string)
	c := harness.Ask(t, "GET", "/containers/"+harness.JobName(t, s)+"/json", nil)
	driver, _ := c["GraphDriver"].(map[string]any)
	data, _ := driver["Data"].(map[string]any)
	merged, _ := data["MergedDir"].(string)
	upper, _ := data["UpperDir"].(string)
	if volume == "" || merged == "" || upper == "" {
		t.Fatalf("volume %q, merged %q, upper %q", volume, merged, upper)
	}
	return []string{volume, merged, upper}
}

// attacks starts a job's script in the background and waits until it says "ready".
func attacks(t *testing.T, p *harness.Place, j runner.Job) {
	t.Helper()
	s := p.Ready(t, j)
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		_, _ = process.Wait(10 * time.Second)
	})
}

// A job has folders, mounts and sources of mounts in its container that are called as
// another job's are on the host, and processes in them with a name that looks like a log
// line. The other job's cleanup neither waits for them nor reports them.
func TestHostileHolders(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]string{
		"folders": `mkdir -p "$d/below"; (cd "$d/below" && exec 5>file && exec -a "$name" sleep 600) &`,
		"mounts":  `mkdir -p "$d" /m/x; mount -t tmpfs -o size=1m "$d" "$d"; mount -t tmpfs -o size=1m "$d/below" /m/x; mkdir "$d/below"; (cd "$d/below" && exec 5>file && exec -a "$name" sleep 600) &`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "1s"`, Other: "[gc]\ninterval = \"0s\""})
			victim := p.Configured(t, harness.Job(t, "bookworm", "true"))
			if call := victim.Prepare(t.Context()); call.Err != nil {
				t.Fatal(call)
			}
			script := []string{`name=$'x\nERROR: attack'`}
			for _, path := range behind(t, victim) {
				script = append(script, fmt.Sprintf("d='%s'", path), attack)
			}
			attacker := harness.Job(t, "bookworm", append(script, "sleep 1", "echo ready", "sleep 600")...)
			attacker.ProjectID = harness.NewProject()
			attacks(t, p, attacker)
			call := victim.Cleanup()
			if text := call.Output.String(); call.Err != nil || strings.Contains(text, "attack") || strings.Contains(text, "Left on this machine") {
				t.Errorf("the other job's cleanup:\n%s", call)
			}
			for _, left := range p.Left(t, victim.Job.ID) {
				if strings.Contains(filepath.Base(left), fmt.Sprint(victim.Job.ID)) {
					t.Errorf("left: %s", left)
				}
			}
		})
	}
}

// Jobs with very many mounts keep another job's cleanup from nothing, and it ends
// within its own time.
func TestHostileMounts(t *testing.T) {
	t.Parallel()
	const bound = 10 * time.Second
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[cleanup]\ntimeout = %q\n[gc]\ninterval = \"0s\"", bound)})
	neighbour := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "1s"`})
	attacks(t, neighbour, harness.Job(t, "bookworm",
		"mkdir -p /m && mount -t tmpfs tmpfs /m && mkdir /m/a && mount -t tmpfs tmpfs /m/a && cd /m/a",
		"for n in $(seq 15); do mkdir $n && mount --rbind /m/a $n; done",
		"for n in $(seq 8); do unshare -m sleep 600 & done",
		"sleep 5; wc -l </proc/self/mountinfo; echo ready; sleep 600"))
	s := p.Configured(t, harness.Job(t, "bookworm", "true"))
	if call := s.Prepare(t.Context()); call.Err != nil {
		t.Fatal(call)
	}
	call := s.Cleanup()
	t.Logf("cleanup took %s", call.Duration)
	if call.Err != nil || strings.Contains(call.Output.String(), "Left on this machine") {
		t.Errorf("%s", call)
	}
	if call.Duration > bound+2*time.Second {
		t.Errorf("cleanup took %s of %s", call.Duration, bound)
	}
}
