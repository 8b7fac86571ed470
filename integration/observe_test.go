package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/integration/runner"
)

func (p *place) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(2*time.Minute, world.binary, append(args, p.runner.Driver.ConfigArgs[1:]...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// ps is what is said of the session's job.
func (p *place) ps(t *testing.T, s *runner.Session) overview.JobState {
	t.Helper()
	var all []overview.JobState
	if out := p.run(t, "ps", "--json"); json.Unmarshal([]byte(out), &all) != nil {
		t.Fatal(out)
	}
	n := slices.IndexFunc(all, func(j overview.JobState) bool { return j.JobID == s.Job.ID })
	if n < 0 {
		t.Fatalf("job %d is not in %+v", s.Job.ID, all)
	}
	return all[n]
}

// What ps and metrics say of a job while it runs, and when it is
// gone.
func TestJobsCanBeSeen(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"1GiB\"\n[gc]\ninterval = \"0s\""})
	j := job(t, "bookworm", "head -c 50000000 /dev/zero >/var/lib/containers/big && sync", "echo has it", "until [ -e /var/lib/containers/end ]; do sleep 0.1; done")
	j.Services = []runner.Image{{Name: j.Image.Name, Alias: "one", PullPolicies: []string{"if-not-present"}, Command: []string{"sleep", "600"}}}
	s := p.ready(t, j)

	// Owned by this process, which is what runs the driver here.
	waiting := p.ps(t, s)
	if waiting.Phase != overview.Waiting || waiting.Stage != runner.StageGetSources || waiting.Driver.PID != os.Getpid() || waiting.DriverLives != "yes" {
		t.Errorf("%+v", waiting)
	}
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("has it", time.Minute); err != nil {
		t.Fatal(err)
	}
	running := p.ps(t, s)
	if running.Phase != overview.Running || running.Stage != runner.StageBuild || running.ProjectID != s.Job.ProjectID || running.Image != j.Image.Name ||
		running.Container != p.buildContainer(t, s) || len(running.Services) != 1 || time.Since(running.Since).Abs() > 10*time.Minute || running.Since.Before(running.Started) {
		t.Errorf("%+v", running)
	}
	if st := running.Storage; st == nil || st.Backend != "xfs-loop" || st.Driver != "vfs" || st.Limit != 1<<30 || st.Used < 50_000_000 || st.Used > 200_000_000 || st.Peak < st.Used {
		t.Errorf("%+v", running.Storage)
	}
	table := p.run(t, "ps")
	for _, want := range []string{strconv.FormatInt(s.Job.ID, 10), "build_script", "vfs on xfs-loop", "1GiB", j.Image.Name} {
		if !strings.Contains(table, want) {
			t.Errorf("no %s in\n%s", want, table)
		}
	}

	file := filepath.Join(p.dir, "executor.prom")
	p.run(t, "metrics", "--per-job", "--output", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("gitlab_sysbox_executor_job_storage_limit_bytes{job_id=\"%d\",project_id=\"%d\",", s.Job.ID, s.Job.ProjectID),
		"gitlab_sysbox_executor_storage_limit_bytes 1.073741824e+09\n", "gitlab_sysbox_executor_disk_free_bytes{folder=\"" + p.stateDir,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}

	if call := s.RunScript(t.Context(), runner.StageAfter, "#!/usr/bin/env bash\ntouch /var/lib/containers/end\n"); call.Err != nil {
		t.Error(call)
	}
	if call, err := process.Wait(time.Minute); err != nil || call.Err != nil {
		t.Error(err, call)
	}
	wantCleanup(t, s)
	if table := p.run(t, "ps"); strings.Contains(table, strconv.FormatInt(s.Job.ID, 10)) {
		t.Errorf("the job is gone\n%s", table)
	}
}

// A job whose Runner is gone is said to be so.
func TestOrphansCanBeSeen(t *testing.T) {
	p := newPlace(t, settings{other: "[gc]\ninterval = \"0s\""})
	s := p.orphaned(t, job(t, "bookworm", "true"))
	if got := p.ps(t, s); got.Phase != overview.Orphaned || got.DriverLives != "no" {
		t.Errorf("%+v", got)
	}
	p.gc(t)
}

// buildContainer is the ID of the job's own container beside its services.
func (p *place) buildContainer(t *testing.T, s *runner.Session) string {
	t.Helper()
	id, _ := ask(t, "GET", "/containers/"+jobName(t, s)+"/json", nil)["Id"].(string)
	return id
}
