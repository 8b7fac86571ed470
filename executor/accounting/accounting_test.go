package accounting

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
)

// account is a book with the jobs that it has counted.
type account struct {
	Book
	mu    sync.Mutex
	ended []Job
}

func newBook(t *testing.T) *account {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.DebugLevel)
	a := &account{}
	a.Book = Book{Dir: statedir.Dir(t.TempDir()), Log: log, Ended: func(j Job) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended = append(a.ended, j)
	}}
	return a
}

func jobNumber(n int64) job.Identity {
	return job.Identity{Server: "gitlab.example", RunnerID: 1, ProjectID: 2, PipelineID: 3, JobID: n}
}

// play records stages: "name" succeeds, "name:script_failure" and so on fail, and "name:killed" has no end.
func (a *account) play(i job.Identity, stages ...string) {
	for _, s := range stages {
		name, result, _ := strings.Cut(s, ":")
		c := a.Begin(i, name, Ignored(name) || name == "after_script")
		switch result {
		case "killed":
			if c.file != nil {
				c.file.Close()
			}
		case "":
			c.End(Outcome{Result: Success}, observe.Seen{})
		case "engine":
			c.End(Outcome{SystemFailure, Engine}, observe.Seen{})
		default:
			c.End(Outcome{Result: Result(result)}, observe.Seen{})
		}
	}
}

func (a *account) counter(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	totals, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return totals.Counters[Key(name, values...)]
}

func TestResults(t *testing.T) {
	t.Parallel()
	start := []string{"prepare", "prepare_script", "get_sources"}
	with := func(more ...string) []string { return append(append([]string{}, start...), more...) }
	for name, c := range map[string]struct {
		stages []string
		by     By
		want   Outcome
		failed string
	}{
		"success":                           {with("build_script", "after_script", "cleanup"), ByCleanup, Outcome{Result: Success}, ""},
		"the script fails":                  {with("build_script:script_failure", "after_script", "cleanup"), ByCleanup, Outcome{Result: ScriptFailure}, "build_script"},
		"an after_script is ignored":        {with("build_script", "after_script:script_failure", "cleanup"), ByCleanup, Outcome{Result: Success}, ""},
		"a failed cleanup is ignored":       {with("build_script", "cleanup:engine"), ByCleanup, Outcome{Result: Success}, ""},
		"the first failure decides":         {with("build_script:script_failure", "upload_artifacts_on_failure:engine", "cleanup"), ByCleanup, Outcome{Result: ScriptFailure}, "build_script"},
		"an upload fails":                   {with("build_script", "upload_artifacts_on_success:script_failure", "cleanup"), ByCleanup, Outcome{Result: ScriptFailure}, "upload_artifacts_on_success"},
		"a second attempt at the sources":   {[]string{"prepare", "get_sources:script_failure", "clear_worktree", "get_sources", "build_script", "cleanup"}, ByCleanup, Outcome{Result: Success}, ""},
		"sources that cannot be had":        {[]string{"prepare", "get_sources:script_failure", "get_sources:script_failure", "cleanup"}, ByCleanup, Outcome{Result: ScriptFailure}, "get_sources"},
		"a step of the author":              {with("step_release", "cleanup"), ByCleanup, Outcome{Result: Success}, ""},
		"the job's fault in prepare":        {[]string{"prepare:job_fault", "cleanup"}, ByCleanup, Outcome{Result: JobFault}, "prepare"},
		"canceled":                          {with("build_script:canceled", "after_script", "cleanup"), ByCleanup, Outcome{Result: Canceled}, "build_script"},
		"canceled between stages":           {with("cleanup"), ByCleanup, Outcome{Result: Canceled}, ""},
		"the engine is gone":                {with("build_script:engine", "cleanup"), ByCleanup, Outcome{SystemFailure, Engine}, "build_script"},
		"the driver of a script is killed":  {with("build_script:killed", "cleanup"), ByCleanup, Outcome{SystemFailure, DriverKilled}, "build_script"},
		"cleanup is killed, gc follows":     {with("build_script", "cleanup:killed"), ByGC, Outcome{Result: Success}, ""},
		"the Runner is gone before the end": {with("build_script"), ByGC, Outcome{SystemFailure, RunnerGone}, ""},
		"the Runner is gone in prepare":     {[]string{"prepare:killed"}, ByGC, Outcome{SystemFailure, DriverKilled}, "prepare"},
		"a stage saw that it is gone":       {with("build_script", "cleanup"), ByStage, Outcome{SystemFailure, RunnerGone}, ""},
		"a later attempt succeeds":          {append([]string{"prepare:engine", "cleanup"}, with("build_script", "cleanup")...), ByCleanup, Outcome{Result: Success}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, i := newBook(t), jobNumber(7)
			a.play(i, c.stages...)
			for range 3 { // whoever comes later counts nothing
				a.Finish(t.Context(), i.Name(), c.by)
				a.play(i, "cleanup")
			}
			if len(a.ended) != 1 || a.ended[0].Outcome != c.want || a.ended[0].Failed != c.failed || a.ended[0].Identity != i {
				t.Fatalf("%+v", a.ended)
			}
			if n := a.counter(t, jobsTotal, string(c.want.Result), string(c.want.Class)); n != 1 {
				t.Errorf("counted %v times", n)
			}
			totals, _ := a.Read(t.Context())
			all := 0.0
			for key, value := range totals.Counters {
				if strings.HasPrefix(key, jobsTotal+"|") {
					all += value
				}
			}
			if all != 1 {
				t.Errorf("%v jobs", all)
			}
		})
	}
}

// A prepare that failed because of the system may be repeated. The job is counted at the end of the last attempt,
// or when no other attempt comes.
func TestRepeatedPrepares(t *testing.T) {
	t.Parallel()
	a, i, other := newBook(t), jobNumber(1), jobNumber(2)
	for _, how := range []string{"engine", "killed"} {
		a.play(i, "prepare:"+how, "cleanup")
		a.Finish(t.Context(), i.Name(), ByCleanup)
	}
	if len(a.ended) != 0 {
		t.Fatalf("counted too early: %+v", a.ended)
	}
	a.play(i, "prepare", "build_script", "cleanup")
	a.Finish(t.Context(), i.Name(), ByCleanup)
	if len(a.ended) != 1 || a.ended[0].Result != Success || a.ended[0].Attempts != 3 {
		t.Fatalf("%+v", a.ended)
	}

	a.play(other, "prepare:engine", "cleanup")
	a.Finish(t.Context(), other.Name(), ByCleanup)
	path := a.path(retry, other.Name())
	old := time.Now().Add(-2 * retryTime)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	last := jobNumber(3)
	a.play(last, "prepare", "build_script", "cleanup")
	a.Finish(t.Context(), last.Name(), ByCleanup)
	if len(a.ended) != 3 || a.ended[2].Name != other.Name() || a.ended[2].Outcome != (Outcome{SystemFailure, Engine}) || a.ended[2].By != ByTime || a.ended[2].Ended.Before(a.ended[2].Began) || time.Since(a.ended[2].Ended) > time.Minute {
		t.Errorf("%+v", a.ended)
	}
	if n := a.counter(t, attemptsTotal); n != 5 {
		t.Errorf("%v prepares", n)
	}
}

// A process that is killed while it writes loses its line, and no other.
func TestKilledInAWrite(t *testing.T) {
	t.Parallel()
	a, i := newBook(t), jobNumber(1)
	a.play(i, "prepare", "build_script", "cleanup")
	path := a.path(running, i.Name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(strings.TrimRight(string(whole), "\n"), "\n") // the end of cleanup
	for cut := last; cut < len(whole); cut += 3 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		a.ended = nil
		a.play(i, "cleanup")
		a.Finish(t.Context(), i.Name(), ByCleanup)
		if len(a.ended) != 1 || a.ended[0].Result != Success || len(a.ended[0].Stages) != 4 || a.ended[0].lost > 1 {
			t.Fatalf("cut at %d: %+v", cut, a.ended)
		}
	}
}

// An empty file is a job of which nothing could be written.
func TestNothingWritten(t *testing.T) {
	t.Parallel()
	a, i := newBook(t), jobNumber(1)
	a.play(i, "prepare")
	if err := os.Truncate(a.path(running, i.Name()), 0); err != nil {
		t.Fatal(err)
	}
	a.Finish(t.Context(), i.Name(), ByCleanup)
	if n := a.counter(t, jobsTotal, "unknown", ""); n != 1 {
		t.Errorf("%v", n)
	}
}

// A Fold that is killed between its two steps has counted each job once.
func TestKilledInAFold(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	for n := range int64(5) {
		a.play(jobNumber(n), "prepare", "build_script", "cleanup")
		a.Finish(t.Context(), jobNumber(n).Name(), ByCleanup)
	}
	var folded []string
	for range 3 {
		before, err := a.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string][]byte{} // of the files that this Fold adds
		files, _ := filepath.Glob(a.path(ended, "*"))
		for _, path := range files {
			if !slices.Contains(folded, path) {
				texts[path], _ = os.ReadFile(path)
			}
		}
		if err := a.Fold(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		folded = nil
		for path, text := range texts { // as if it had not come to remove them
			folded = append(folded, path)
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		after, err := a.Read(t.Context())
		if err != nil || !reflect.DeepEqual(before.Counters, after.Counters) || !reflect.DeepEqual(before.Histograms, after.Histograms) {
			t.Fatalf("%v\n%+v\n%+v", err, before, after)
		}
		a.play(jobNumber(100), "prepare:job_fault", "cleanup")
		a.Finish(t.Context(), jobNumber(100).Name(), ByCleanup)
	}
	if n := a.counter(t, jobsTotal, "success", ""); n != 5 {
		t.Errorf("%v jobs", n)
	}
	if n := a.counter(t, jobsTotal, "job_fault", ""); n != 3 {
		t.Errorf("%v jobs at fault", n)
	}
}

// Jobs end, gcs fold and readers read at the same time. No total goes down, and the last is exact.
func TestAtTheSameTime(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	var jobs, others sync.WaitGroup
	done := make(chan struct{})
	const workers, each = 4, 25
	for w := range int64(workers) {
		jobs.Go(func() {
			for n := range int64(each) {
				i := jobNumber(w*1000 + n)
				a.play(i, "prepare", "build_script", "cleanup")
				var both sync.WaitGroup
				for _, by := range []By{ByCleanup, ByGC} {
					both.Go(func() { a.Finish(t.Context(), i.Name(), by) })
				}
				both.Wait()
			}
		})
	}
	others.Go(func() {
		last := 0.0
		for {
			if n := a.counter(t, jobsTotal, "success", ""); n < last {
				t.Errorf("%v jobs after %v", n, last)
			} else {
				last = n
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	others.Go(func() {
		for {
			a.Collected(t.Context(), GC{Removed: 1})
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	jobs.Wait()
	close(done)
	others.Wait()
	if n := a.counter(t, jobsTotal, "success", ""); n != workers*each || len(a.ended) != workers*each {
		t.Errorf("%v jobs, %d seen to end", n, len(a.ended))
	}
}

// However many jobs end without a gc, there are not many files.
func TestFilesAreBounded(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	for n := range int64(mostEnded + 20) {
		a.play(jobNumber(n), "prepare", "build_script", "cleanup")
		a.Finish(t.Context(), jobNumber(n).Name(), ByCleanup)
		if files, _ := filepath.Glob(a.path("*", "*")); len(files) > mostEnded {
			t.Fatalf("%d files", len(files))
		}
	}
	if n := a.counter(t, jobsTotal, "success", ""); n != mostEnded+20 {
		t.Errorf("%v jobs", n)
	}
	i := jobNumber(1 << 40)
	a.play(i, "prepare")
	for n := range 1500 { // a job with thousands of stages
		a.play(i, fmt.Sprintf("step_%d", n))
	}
	if info, err := os.Stat(a.path(running, i.Name())); err != nil || info.Size() > mostBytes+2000 {
		t.Errorf("%v, %v", info, err)
	}
	a.Finish(t.Context(), i.Name(), ByCleanup)
	totals, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if totals.Counters[Key(stagesTotal, "step", "success")] < 100 || len(totals.Counters) > 200 {
		t.Errorf("%d series: %v", len(totals.Counters), totals.Counters)
	}
}

// A job that was killed before its first journal, and one that was killed after its last, are counted by gc.
func TestOrphans(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	write := func(n int64, by owner.Process) string {
		i := jobNumber(n)
		a.play(i, "prepare:killed")
		path := a.path(running, i.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines, _, _ := readLines(path)
		lines[0].Begin.Owner = by
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err, text)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := appendLine(f, lines[0]); err != nil {
			t.Fatal(err)
		}
		return path
	}
	here := owner.Describe(os.Getpid())
	dead := here
	dead.Started++
	write(1, here)
	write(2, dead)
	old := write(3, here)
	past := time.Now().Add(-2 * forgottenTime)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	withJournal := write(4, dead)
	if err := os.MkdirAll(a.Dir.Journals(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.Dir.Journal(jobNumber(4).Name()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.Collected(t.Context(), GC{Seconds: 1, Removed: 2, Left: 1, Failed: true})
	if len(a.ended) != 2 || a.ended[0].Identity.JobID+a.ended[1].Identity.JobID != 5 {
		t.Errorf("%+v", a.ended)
	}
	if _, err := os.Stat(withJournal); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]float64{Key(gcTotal, "failure"): 1, Key(gcTotal, "success"): 0, Key(gcCollected, "removed"): 2, Key(gcCollected, "left"): 1} {
		name, values, _ := strings.Cut(key, "|")
		if n := a.counter(t, name, values); n != want {
			t.Errorf("%s: %v", key, n)
		}
	}
}

func TestWhatAJobDid(t *testing.T) {
	t.Parallel()
	a, i := newBook(t), jobNumber(1)
	c := a.Begin(i, "prepare", false)
	c.End(Outcome{Result: Success}, observe.Seen{
		Steps: []observe.Timed{{Step: observe.Images, Seconds: 2}, {Step: observe.Start, Seconds: 0.02}}, Pulls: []observe.Pull{{Bytes: 100, Seconds: 2}, {Bytes: 50, Seconds: 700}},
		Containers: 2, Image: "debian:12", Digest: "sha256:1", Left: map[string]int{"volume": 1},
	})
	c = a.Begin(i, "build_script", false)
	c.End(Outcome{Result: Success}, observe.Seen{Peak: 3 << 20})
	c = a.Begin(i, "cleanup", true)
	c.End(Outcome{Result: Success}, observe.Seen{Retries: 4, Left: map[string]int{"volume": 1, "loop": 2}})
	a.Finish(t.Context(), i.Name(), ByCleanup)
	seen := a.ended[0].Seen()
	if seen.Containers != 2 || seen.Retries != 4 || seen.Peak != 3<<20 || seen.Digest != "sha256:1" || seen.Left["volume"] != 2 || len(seen.Pulls) != 2 {
		t.Errorf("%+v", seen)
	}
	totals, err := a.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{
		Key(pullBytes): 150, Key(containersTotal): 2, Key(retriesTotal): 4, Key(leftTotal, "volume"): 2, Key(leftTotal, "loop"): 2, Key(leftTotal, "network"): 0,
		Key(attemptsTotal): 1, Key(stagesTotal, "build_script", "success"): 1,
	} {
		if got, ok := totals.Counters[key]; !ok || got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
	for key, want := range map[string][2]float64{Key(pullSeconds): {2, 702}, Key(storagePeak): {1, 3 << 20}, Key(stepSeconds, "images"): {1, 2}, Key(stepSeconds, "helper"): {0, 0}} {
		h := totals.Histograms[key]
		count := 0.0
		for _, c := range h.Counts {
			count += float64(c)
		}
		if count != want[0] || h.Sum != want[1] {
			t.Errorf("%s: %+v", key, h)
		}
	}
	if h := totals.Histograms[Key(pullSeconds)]; h.Counts[5] != 1 || h.Counts[11] != 1 { // up to 2.5, up to 900
		t.Errorf("%+v", h)
	}
}

// Another version of the program may have other buckets.
func TestOtherBuckets(t *testing.T) {
	t.Parallel()
	totals := newTotals()
	totals.Histograms["a"] = &Histogram{Bounds: []float64{1, 2, 5}, Counts: []uint64{1, 10, 100, 1000}, Sum: 7}
	h := totals.histogram("a", []float64{0.5, 2, 4})
	if want := []uint64{0, 11, 0, 1100}; !reflect.DeepEqual(h.Counts, want) || h.Sum != 7 {
		t.Errorf("%+v", h)
	}
}

// Damaged totals do not stop the counting for ever.
func TestDamagedTotals(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	a.play(jobNumber(1), "prepare", "build_script", "cleanup")
	a.Finish(t.Context(), jobNumber(1).Name(), ByCleanup)
	if err := os.WriteFile(a.totalsPath(), []byte("{\"schema\":1,\"coun"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(t.Context()); err == nil || !strings.Contains(err.Error(), a.totalsPath()) {
		t.Error(err)
	}
	if err := a.Fold(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := a.counter(t, jobsTotal, "success", ""); n != 1 {
		t.Errorf("%v", n)
	}
	if _, err := os.Stat(a.totalsPath() + ".damaged"); err != nil {
		t.Error(err)
	}
}

// Without a folder nothing was counted; reading makes none.
func TestBeforeTheFirstJob(t *testing.T) {
	t.Parallel()
	a := newBook(t)
	a.Finish(t.Context(), "gsx-0", ByCleanup)
	a.play(jobNumber(1), "build_script", "cleanup")
	if n := a.counter(t, jobsTotal, "success", ""); n != 0 {
		t.Errorf("%v", n)
	}
	if _, err := os.Stat(a.Dir.Metrics()); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestStageLabels(t *testing.T) {
	t.Parallel()
	for stage, want := range map[string]string{"build_script": "build_script", "step_release": "step", "step_a b\"": "step", "x\n": "other", "": "other", "prepare": "prepare"} {
		if got := stageLabel(stage); got != want {
			t.Errorf("%q: %s", stage, got)
		}
	}
}
