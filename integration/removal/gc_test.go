package removal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/leftovers"
	"gitlab-sysbox-executor/integration/harness/lyingengine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Gc removes what a killed Runner left, and touches neither a running job
// nor anything without our labels.
func TestGC(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	compare := p.MachineUnchanged(t)
	live := p.Session(t, harness.Job(t, "bookworm", "true"))
	if call := live.Prepare(t.Context()); call.Err != nil {
		t.Fatal(call)
	}
	harness.Ask(t, "POST", "/volumes/create", map[string]any{"Name": "gsx-test-unlabelled"})
	harness.Ask(t, "POST", "/volumes/create", map[string]any{"Name": "gsx-test-other", "Labels": map[string]string{"com.example.name": "x"}})
	before := harness.Snapshot(t, harness.Scope(p.StateDir))
	dead := harness.JobName(t, p.Orphaned(t, harness.Job(t, "bookworm", "true")))
	lost := harness.JobName(t, p.Orphaned(t, harness.Job(t, "bookworm", "true")))
	j, _, err := journal.Open(filepath.Join(p.StateDir, "journal"), lost)
	if err == nil {
		err = j.Forget() // its labels are all there is
	}
	if err == nil {
		err = os.Remove(journal.Path(filepath.Join(p.StateDir, "journal"), lost) + ".lock")
	}
	if err != nil {
		t.Fatal(err)
	}
	all := harness.Snapshot(t, harness.Scope(p.StateDir))
	unchanged := func(want leftovers.Snapshot, what string) {
		t.Helper()
		if diff := leftovers.Diff(want, harness.Snapshot(t, harness.Scope(p.StateDir))); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}

	var found []struct {
		Name, Action, Reason string
		Resources            []string
	}
	out := p.GC(t, "--dry-run", "--json")
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	actions := map[string]string{}
	for _, f := range found {
		actions[f.Name] = f.Action
	}
	if actions[dead] != "would remove" || actions[lost] != "would remove" || actions[harness.JobName(t, live)] != "kept" {
		t.Errorf("%s", out)
	}
	unchanged(all, "a dry run changed")
	if out := p.GC(t, "--older-than", "1h"); strings.Contains(out, "removed  ") {
		t.Errorf("%s", out)
	}
	unchanged(all, "gc of what is older than an hour changed")

	// Several at once: each comes to a good end, and together they do it once.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { p.GC(t) })
	}
	wg.Wait()
	t.Log(p.GC(t))
	unchanged(before, "gc left, or took what is not its")

	if call := live.Run(t.Context(), runner.StagePrepareScript); call.Err != nil {
		t.Errorf("the live job does not live\n%s", call)
	}
	harness.WantCleanup(t, live)
	harness.Ask(t, "DELETE", "/volumes/gsx-test-unlabelled", nil)
	harness.Ask(t, "DELETE", "/volumes/gsx-test-other", nil)
	compare()
}

// A stage that runs keeps gc away also where the process that drove prepare is gone.
func TestGCBesideARunningStage(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{Run: `kill_grace = "2s"`})
	compare := p.MachineUnchanged(t)
	j := harness.Job(t, "bookworm", "echo ready; sleep 600")
	s := p.Orphaned(t, j)
	direct := p.Session(t, s.Job)
	for _, stage := range []string{runner.StagePrepareScript, runner.StageGetSources} {
		if call := direct.Run(t.Context(), stage); call.Err != nil {
			t.Fatal(call)
		}
	}
	process := direct.StartRun(runner.StageBuild, direct.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("ready", time.Minute); err != nil {
		t.Fatal(err)
	}
	if out := p.GC(t); !strings.Contains(out, "one of its stages runs") {
		t.Errorf("%s", out)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if out := p.GC(t); !strings.Contains(out, "removed") {
		t.Errorf("%s", out)
	}
	compare()
}

// A job whose cleanup ends between gc's look at the engine and its turn is nothing
// that gc kept or removed.
func TestGCBesideACleanupThatEnds(t *testing.T) {
	p := newLiar(t)
	first, second := harness.Job(t, "bookworm", "true"), harness.Job(t, "bookworm", "true")
	first.ID = harness.NewProject()
	second.ID = first.ID + 1 // gc goes by the names
	dead := harness.JobName(t, p.patient.Orphaned(t, first))
	p.patient.Orphaned(t, second)
	ending := p.patient.Session(t, second)
	name := harness.JobName(t, ending)
	ended := make(chan struct{})
	p.proxy.Spoil("DELETE /containers/*", lyingengine.Fault{Hold: ended, Done: true}, 1)
	said := make(chan string)
	go func() { said <- p.patient.GC(t) }()
	for end := time.Now().Add(time.Minute); p.proxy.Seen()["DELETE /containers/*"] == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("gc removes nothing")
		}
	}
	harness.WantCleanup(t, ending)
	close(ended)
	out := <-said
	if !strings.Contains(out, "removed  "+dead) || strings.Contains(out, name) {
		t.Errorf("%s", out)
	}
}

// The engine makes what a killed prepare asked for when the cleanup has given up
// waiting for it and has forgotten the job: gc removes it while the Runner lives.
func TestGCOfWhatComesAfterCleanup(t *testing.T) {
	t.Parallel()
	l, s, come := belated(t, "POST /networks/create")
	harness.WantCleanup(t, s)
	if left := l.Left(t, s.Job.ID); len(left) > 0 {
		t.Errorf("left before the network came: %v", left)
	}
	come()
	if left := l.Left(t, s.Job.ID); len(left) == 0 {
		t.Error("the network has not come")
	}
	out := l.patient.GC(t)
	if left := l.Left(t, s.Job.ID); len(left) > 0 {
		t.Errorf("left: %v\n%s", left, out)
	}
}

// A prepare takes up what an earlier job's dead Runner left.
func TestPrepareSweeps(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"1ms\""})
	compare := p.MachineUnchanged(t)
	dead := harness.JobName(t, p.Orphaned(t, harness.Job(t, "bookworm", "true")))
	p.Succeed(t, harness.Job(t, "bookworm", "true"))
	if found, err := harness.World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.name=%s", dead)); err != nil || len(found) > 0 {
		t.Errorf("%v %v", found, err)
	}
	compare()
}

// Of the folders that are kept, the longest unused go until the rest fits, and gc leaves what fits.
func TestGCOfKeptFolders(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Keep: true, Other: "[gc]\ninterval = \"0s\"\nmost_volumes = \"30MiB\""})
	projects := []int64{harness.NewProject(), harness.NewProject()}
	for _, project := range projects {
		j := harness.Job(t, "bookworm", "head -c 20000000 /dev/zero >big")
		j.ProjectID = project
		p.Succeed(t, j)
	}
	builds := func() (all []string) {
		for _, v := range p.KeptVolumes(t) {
			if v.Kind == "builds" {
				all = append(all, v.Name)
			}
		}
		return all
	}
	// The end of the second job took the longest unused.
	if left := builds(); len(left) != 1 || !strings.Contains(left[0], fmt.Sprintf("-p%d-", projects[1])) {
		t.Errorf("%v is left, projects %v", left, projects)
	}
	if out := p.GC(t); len(builds()) != 1 {
		t.Errorf("gc took what fits: %s", out)
	}
}
