package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// What ps and metrics say of a job while it runs, and when it is
// gone.
func TestJobsCanBeSeen(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"1GiB\"\n[gc]\ninterval = \"0s\""})
	j := harness.Job(t, "bookworm", "head -c 50000000 /dev/zero >/var/lib/containers/big && sync", "echo has it", "until [ -e /var/lib/containers/end ]; do sleep 0.1; done")
	j.Services = []runner.Image{{Name: j.Image.Name, Alias: "one", PullPolicies: []string{"if-not-present"}, Command: []string{"sleep", "600"}}}
	s := p.Ready(t, j)

	// Owned by this process, which is what runs the driver here.
	waiting := p.PS(t, s)
	if waiting.Phase != overview.Waiting || waiting.Stage != runner.StageGetSources || waiting.Driver.PID != os.Getpid() || waiting.DriverLives != "yes" {
		t.Errorf("%+v", waiting)
	}
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("has it", time.Minute); err != nil {
		t.Fatal(err)
	}
	running := p.PS(t, s)
	if running.Phase != overview.Running || running.Stage != runner.StageBuild || running.ProjectID != s.Job.ProjectID || running.Image != j.Image.Name ||
		running.Container != buildContainer(t, p, s) || len(running.Services) != 1 || time.Since(running.Since).Abs() > 10*time.Minute || running.Since.Before(running.Started) {
		t.Errorf("%+v", running)
	}
	if st := running.Storage; st == nil || st.Backend != "xfs-loop" || st.Driver != "vfs" || st.Limit != 1<<30 || st.Used < 50_000_000 || st.Used > 200_000_000 || st.Peak < st.Used {
		t.Errorf("%+v", running.Storage)
	}
	const ps = "gitlab-sysbox-executor ps"
	table := p.Type(t, pages.Commands(t, "docs/observe.md", ps))
	header := func(table string) []string {
		first, _, _ := strings.Cut(table, "\n")
		return strings.Fields(first)
	}
	if want := header(pages.Find(t, "docs/observe.md", ps).Output()); !slices.Equal(header(table), want) {
		t.Errorf("docs/observe.md has the columns %q\n%s", want, table)
	}
	for _, want := range []string{strconv.FormatInt(s.Job.ID, 10), "build_script", "vfs on xfs-loop", "1GiB", j.Image.Name} {
		if !strings.Contains(table, want) {
			t.Errorf("no %s in\n%s", want, table)
		}
	}

	file := filepath.Join(p.Dir, "executor.prom")
	p.Run(t, "metrics", "--per-job", "--output", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("gitlab_sysbox_executor_job_storage_limit_bytes{job_id=\"%d\",project_id=\"%d\",", s.Job.ID, s.Job.ProjectID),
		"gitlab_sysbox_executor_storage_limit_bytes 1.073741824e+09\n", "gitlab_sysbox_executor_disk_free_bytes{folder=\"" + p.StateDir,
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
	harness.WantCleanup(t, s)
	if table := p.Run(t, "ps"); strings.Contains(table, strconv.FormatInt(s.Job.ID, 10)) {
		t.Errorf("the job is gone\n%s", table)
	}
}

// A job whose Runner is gone is said to be so.
func TestOrphansCanBeSeen(t *testing.T) {
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	s := p.Orphaned(t, harness.Job(t, "bookworm", "true"))
	if got := p.PS(t, s); got.Phase != overview.Orphaned || got.DriverLives != "no" {
		t.Errorf("%+v", got)
	}
	p.GC(t)
}

// buildContainer is the ID of the job's own container beside its services.
func buildContainer(t *testing.T, p *harness.Place, s *runner.Session) string {
	t.Helper()
	id, _ := harness.Ask(t, "GET", "/containers/"+harness.JobName(t, s)+"/json", nil)["Id"].(string)
	return id
}
