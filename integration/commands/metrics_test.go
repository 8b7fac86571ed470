package commands

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// secret is the value of a variable of each job.
const secret = "b7e1-not-for-any-log"

// Twenty jobs of known results, of which a quarter have a driver that is killed with SIGKILL: the counters
// add up, and each job has one line in the operator's log.
func TestTwentyJobsAreCounted(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	operators := filepath.Join(p.Dir, "operator.log")
	addToConfig(t, p, fmt.Sprintf("log_file = %q\nlog_format = \"json\"\n", operators))
	job := func(script string) runner.Job {
		return harness.With(harness.Job(t, "bookworm", script), runner.Var("TOKEN", secret))
	}
	play := func(want runner.Outcome, j runner.Job) func() {
		return func() {
			if r := p.Runner.Play(j); r.Outcome != want {
				t.Errorf("not %s: %s", want, r)
			}
		}
	}
	var jobs []func()
	for range 8 {
		jobs = append(jobs, play(runner.Success, job("true")))
	}
	for range 4 {
		jobs = append(jobs, play(runner.ScriptFailure, job("exit 3")))
	}
	impossible := job("true")
	impossible.Image.Name = "Not An Image"
	jobs = append(jobs, play(runner.ScriptFailure, impossible), play(runner.ScriptFailure, impossible))
	jobs = append(jobs,
		func() { cancelInScript(t, p, job("echo be''gun; sleep 600")) },
		func() { killInScript(t, p, job("echo be''gun; sleep 600")) },
		func() { // the Runner tries again
			j := job("true")
			j.ID = 1 + time.Now().UnixNano()%1_000_000_000
			killInPrepare(t, p, j)
			if r := p.Runner.Play(j); r.Outcome != runner.Success {
				t.Error(r)
			}
		},
		func() { killInPrepare(t, p, job("true")) }, // and here it does not
		func() { killInCleanup(t, p, job("true")) },
		func() { killInCleanup(t, p, job("true")) },
	)
	if len(jobs) != 20 {
		t.Fatalf("%d jobs", len(jobs))
	}
	inParallel(4, jobs)
	longAgo(t, filepath.Join(p.StateDir, "metrics", "retry")) // no further attempt comes
	longAgo(t, filepath.Join(p.StateDir, "metrics", "running"))
	p.GC(t)

	text := p.Run(t, "metrics")
	found := parse(t, text)
	got := map[string]float64{}
	for _, m := range found["gitlab_sysbox_executor_jobs_total"].GetMetric() {
		if n := m.GetCounter().GetValue(); n != 0 {
			got[label(m, "result")+" "+label(m, "class")] = n
		}
	}
	want := map[string]float64{"success ": 11, "script_failure ": 4, "job_fault ": 2, "canceled ": 1, "system_failure driver_killed": 2}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	wantHistograms(t, found, 20)
	for name, least := range map[string]float64{"prepare_attempts_total": 21, "containers_started_total": 16, "gc_runs_total": 1} {
		sum := 0.0
		for _, m := range found["gitlab_sysbox_executor_"+name].GetMetric() {
			sum += m.GetCounter().GetValue()
		}
		if sum < least {
			t.Errorf("%s is %v, not at least %v", name, sum, least)
		}
	}
	for _, folder := range []string{"running", "retry"} {
		if left, _ := filepath.Glob(filepath.Join(p.StateDir, "metrics", folder, "*")); left != nil {
			t.Errorf("not counted: %v", left)
		}
	}
	wantPromtoolContent(t, text)
	wantOneLineEach(t, operators, want)
	if again := parse(t, p.Run(t, "metrics"))["gitlab_sysbox_executor_jobs_total"].String(); again != found["gitlab_sysbox_executor_jobs_total"].String() {
		t.Errorf("a second look counts differently: %s", again)
	}
}

// addToConfig adds keys to the top of the place's configuration.
func addToConfig(t *testing.T, p *harness.Place, keys string) {
	t.Helper()
	path := p.Runner.Driver.ConfigArgs[2]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte(keys), text...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func inParallel(most int, all []func()) {
	var running sync.WaitGroup
	free := make(chan struct{}, most)
	for _, do := range all {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			do()
		})
	}
	running.Wait()
}

// open opens a session and takes it to where prepare comes next. It may run beside the test's goroutine.
func open(t *testing.T, p *harness.Place, j runner.Job) *runner.Session {
	s, err := p.Runner.Open(j)
	if err == nil {
		t.Cleanup(func() { s.Close() })
		_, err = s.Config(t.Context())
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	return s
}

// toScript takes a job to where its script has written "begun".
func toScript(t *testing.T, p *harness.Place, j runner.Job) (*runner.Session, *runner.Process) {
	s := open(t, p, j)
	if s == nil {
		return nil, nil
	}
	calls(t, s.Prepare(t.Context()), s.Run(t.Context(), runner.StagePrepareScript), s.Run(t.Context(), runner.StageGetSources))
	process := s.StartRun(runner.StageBuild, s.Script(runner.StageBuild))
	if _, err := process.Output().WaitFor("begun", 2*time.Minute); err != nil {
		t.Error(err)
	}
	return s, process
}

// calls wants calls to have succeeded.
func calls(t *testing.T, all ...*runner.Call) {
	for _, call := range all {
		if call.Err != nil {
			t.Error(call)
		}
	}
}

func end(t *testing.T, s *runner.Session, process *runner.Process, kill func() error) {
	if err := kill(); err != nil {
		t.Error(err)
	}
	if _, err := process.Wait(time.Minute); err != nil {
		t.Error(err)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
}

func cancelInScript(t *testing.T, p *harness.Place, j runner.Job) {
	if s, process := toScript(t, p, j); process != nil {
		end(t, s, process, process.Terminate)
	}
}

func killInScript(t *testing.T, p *harness.Place, j runner.Job) {
	if s, process := toScript(t, p, j); process != nil {
		end(t, s, process, process.Kill)
	}
}

// killInPrepare kills prepare once its journal is there.
func killInPrepare(t *testing.T, p *harness.Place, j runner.Job) {
	s := open(t, p, j)
	if s == nil {
		return
	}
	process := s.StartPrepare()
	until(t, func() bool { _, there := journalOf(p, s); return there })
	end(t, s, process, process.Kill)
}

// killInCleanup kills cleanup when it has begun to remove.
func killInCleanup(t *testing.T, p *harness.Place, j runner.Job) {
	s := open(t, p, j)
	if s == nil {
		return
	}
	calls(t, s.Prepare(t.Context()), s.Run(t.Context(), runner.StagePrepareScript), s.Run(t.Context(), runner.StageGetSources), s.Run(t.Context(), runner.StageBuild))
	process := s.StartCleanup()
	until(t, func() bool { content, there := journalOf(p, s); return !there || content.Ended })
	if err := process.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := process.Wait(time.Minute); err != nil {
		t.Error(err)
	}
}

func journalOf(p *harness.Place, s *runner.Session) (journal.Content, bool) {
	all, _ := filepath.Glob(filepath.Join(p.StateDir, "journal", fmt.Sprintf("*-j%d.json", s.Job.ID)))
	if len(all) == 0 {
		return journal.Content{}, false
	}
	content, there, _ := journal.Read(filepath.Dir(all[0]), strings.TrimSuffix(filepath.Base(all[0]), ".json"))
	return content, there
}

func until(t *testing.T, is func() bool) {
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Error("it does not come")
			return
		}
	}
}

// longAgo sets the times of the files in a folder back by a day.
func longAgo(t *testing.T, dir string) {
	t.Helper()
	all, _ := filepath.Glob(filepath.Join(dir, "*"))
	past := time.Now().Add(-24 * time.Hour)
	for _, path := range all {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Error(err)
		}
	}
}

func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return found
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// wantHistograms wants the sums of all histograms to add up, and a duration of each job.
func wantHistograms(t *testing.T, found map[string]*dto.MetricFamily, jobs uint64) {
	t.Helper()
	var durations uint64
	for name, f := range found {
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			if h == nil {
				continue
			}
			last := h.GetBucket()[len(h.GetBucket())-1]
			if last.GetCumulativeCount() != h.GetSampleCount() || !math.IsInf(last.GetUpperBound(), 1) {
				t.Errorf("%s: %v", name, h)
			}
			if name == "gitlab_sysbox_executor_job_duration_seconds" {
				durations += h.GetSampleCount()
			}
		}
	}
	if durations != jobs {
		t.Errorf("%d durations of %d jobs", durations, jobs)
	}
}

// promtool runs promtool and returns what it prints.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := promtoolPath()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
	return string(out)
}

var promtoolPath = sync.OnceValues(func() (string, error) {
	path, err := harness.Command(5*time.Minute, filepath.Join(harness.World.Repo, "scripts", "promtool.sh"))
	return strings.TrimSpace(string(path)), err
})

// wantPromtoolContent wants promtool to find nothing in the metrics.
func wantPromtoolContent(t *testing.T, text string) {
	t.Helper()
	if out := promtool(t, text, "check", "metrics"); strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics: %s", out)
	}
}

// The alert rules fire when they have to, and the dashboard's queries are ones.
func TestRulesAndQueries(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(harness.World.Repo, "docs", "observe")
	promtool(t, "", "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(folder, "alerts.yml"))
	promtool(t, "", "test", "rules", filepath.Join(folder, "alerts_test.yml"))

	text, err := os.ReadFile(filepath.Join(folder, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			n++
			expr, err := json.Marshal(strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")) // JSON is YAML
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rules, "  - record: query_%d\n    expr: %s\n", n, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := promtool(t, "", "check", "rules", file); !strings.Contains(out, fmt.Sprintf("%d rules found", n)) || n < 20 {
		t.Errorf("%d queries: %s", n, out)
	}
}

// wantOneLineEach wants one line in the operator's log for each job, with these results, and no secret.
func wantOneLineEach(t *testing.T, path string, want map[string]float64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		t.Errorf("a job's secret is in the operator's log:\n%s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o137 != 0 {
		t.Errorf("%v %v", info, err)
	}
	got := map[string]float64{}
	var ids []float64
	complete := 0
	for l := range strings.Lines(string(text)) {
		var line map[string]any
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		if line["event"] != "job_ended" {
			continue
		}
		got[fmt.Sprint(line["result"], " ", line["class"])]++
		id, _ := line["job_id"].(float64)
		ids = append(ids, id)
		stages, _ := line["stage_seconds"].(map[string]any)
		if line["result"] == "success" && line["container_starts"] == 1.0 && stages["build_script"] != nil && strings.HasPrefix(fmt.Sprint(line["image_digest"]), "sha256:") {
			complete++
		}
	}
	slices.Sort(ids)
	if !maps.Equal(got, want) || len(slices.Compact(ids)) != 20 || complete != 11 {
		t.Errorf("got %v, %d jobs, %d complete\n%s", got, len(ids), complete, text)
	}
}

// metrics --listen serves what metrics prints, and ends with SIGTERM. Without the engine it serves the
// counters.
func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{"with the engine": "", "without": "unix:///nonexistent/docker.sock"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Host: host})
			c := exec.Command(harness.World.Binary, append([]string{"metrics", "--listen", "0"}, p.Runner.Driver.ConfigArgs[1:]...)...)
			stderr, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Process.Kill() }()
			said := make([]byte, 1000)
			n, err := stderr.Read(said)
			address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(string(said[:n]))
			if address == "" {
				t.Fatalf("%v: %s", err, said[:n])
			}
			go io.Copy(io.Discard, stderr)
			get := func(path string) (int, string) {
				r, err := http.Get(address + path)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				text, err := io.ReadAll(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				return r.StatusCode, string(text)
			}
			if code, text := get(""); code != 200 || !strings.Contains(text, `href="/metrics"`) {
				t.Errorf("%d %s", code, text)
			}
			if code, _ := get("other"); code != 404 {
				t.Errorf("%d", code)
			}
			code, text := get("metrics")
			up := parse(t, text)["gitlab_sysbox_executor_engine_up"].GetMetric()[0].GetGauge().GetValue()
			if code != 200 || (up == 1) != (host == "") || !strings.Contains(text, `gitlab_sysbox_executor_jobs_total{result="success"} 0`) {
				t.Errorf("%d %s", code, text)
			}
			wantPromtoolContent(t, text)
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
