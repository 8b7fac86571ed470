package accounting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"gitlab-sysbox-executor/executor/observe"
)

// Definition describes a counter, or a histogram if it has buckets.
type Definition struct {
	Name, Help string
	Labels     []string
	Buckets    []float64 // upper bounds, without infinity
	// first are the labels' values that exist before the first job, so that a rate can be computed.
	first [][]string
}

// stages are the label values of stages.
var stages = []string{
	StagePrepare, "prepare_script", "get_sources", "clear_worktree", "restore_cache", "download_artifacts", "build_script", "step", "after_script",
	"archive_cache", "archive_cache_on_failure", "upload_artifacts_on_success", "upload_artifacts_on_failure", "cleanup_file_variables", StageCleanup, "other",
}

var (
	seconds      = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	shortSeconds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}
	sizes        = []float64{1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30, 4 << 30, 16 << 30, 64 << 30, 256 << 30}
)

// bounds are the buckets of all histograms, by name.
var bounds = map[string][]float64{
	jobSeconds: seconds, stageSeconds: seconds, stepSeconds: shortSeconds, pullSeconds: seconds, storagePeak: sizes, gcSeconds: seconds,
}

// Definitions are all counters and histograms, without the program's prefix.
func Definitions() []Definition {
	var results, classes [][]string
	for _, r := range Results {
		if r == SystemFailure {
			for _, c := range Classes() {
				classes = append(classes, []string{string(r), string(c)})
			}
		} else {
			results = append(results, []string{string(r), ""})
		}
	}
	var steps [][]string
	for _, s := range observe.Steps {
		steps = append(steps, []string{string(s)})
	}
	none := [][]string{{}}
	all := []Definition{
		{Name: jobsTotal, Help: "Jobs that are over, by result. A failure of the system has a class.", Labels: []string{"result", "class"}, first: append(results, classes...)},
		{Name: jobSeconds, Help: "Time from the begin of a job's first prepare to the end of its cleanup.", Labels: []string{"result"}},
		{Name: attemptsTotal, Help: "Calls of prepare: the Runner repeats one that fails because of the system.", first: none},
		{Name: stagesTotal, Help: "Calls of stages, by result.", Labels: []string{"stage", "result"}},
		{Name: stageSeconds, Help: "Duration of stages.", Labels: []string{"stage"}},
		{Name: stepSeconds, Help: "Duration of the steps of prepare.", Labels: []string{"step"}, first: steps},
		{Name: pullBytes, Help: "Bytes that pulls of images have downloaded.", first: none},
		{Name: pullSeconds, Help: "Duration of successful pulls of images.", first: none},
		{Name: containersTotal, Help: "Containers that were started for jobs.", first: none},
		{Name: storagePeak, Help: "Highest use of a job's storage volume.", first: none},
		{Name: retriesTotal, Help: "Further attempts to remove a resource of a job, by cleanup, prepare and gc.", first: none},
		{Name: leftTotal, Help: "Leftovers of cleanups, by kind of resource.", Labels: []string{"kind"}, first: [][]string{{"container"}, {"network"}, {"volume"}, {"held"}, {"loop"}, {"folder"}}},
		{Name: gcTotal, Help: "Runs of gc, by result.", Labels: []string{"result"}, first: [][]string{{"success"}, {"failure"}}},
		{Name: gcSeconds, Help: "Duration of gc.", first: none},
		{Name: gcCollected, Help: "Jobs and resources that gc has removed, or could not remove.", Labels: []string{"action"}, first: [][]string{{"removed"}, {"left"}}},
		{Name: lostTotal, Help: "Lines of the accounting that could not be read, such as the last one of a killed process.", first: none},
	}
	for n, d := range all {
		all[n].Buckets = bounds[d.Name]
	}
	return all
}

// The names.
const (
	jobsTotal       = "jobs_total"
	jobSeconds      = "job_duration_seconds"
	attemptsTotal   = "prepare_attempts_total"
	stagesTotal     = "stages_total"
	stageSeconds    = "stage_duration_seconds"
	stepSeconds     = "prepare_step_duration_seconds"
	pullBytes       = "image_pull_bytes_total"
	pullSeconds     = "image_pull_duration_seconds"
	containersTotal = "containers_started_total"
	storagePeak     = "storage_peak_bytes"
	retriesTotal    = "teardown_retries_total"
	leftTotal       = "leftovers_total"
	gcTotal         = "gc_runs_total"
	gcSeconds       = "gc_duration_seconds"
	gcCollected     = "gc_collected_total"
	lostTotal       = "accounting_lost_lines_total"
)

// Totals are sums over jobs and runs of gc. The keys are a name and the values of its labels, separated
// by "|".
type Totals struct {
	Schema int `json:"schema"`
	// Folded are the files of ended jobs that are in the sums and may still be there.
	Folded     []string              `json:"folded,omitempty"`
	Counters   map[string]float64    `json:"counters"`
	Histograms map[string]*Histogram `json:"histograms"`
}

// Histogram is a histogram with these upper bounds.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []uint64  `json:"counts"` // one more than Bounds, not cumulative
	Sum    float64   `json:"sum"`
}

const schema = 1

func newTotals() *Totals {
	t := &Totals{Schema: schema, Counters: map[string]float64{}, Histograms: map[string]*Histogram{}}
	t.complete()
	return t
}

// complete adds the series that exist before the first job.
func (t *Totals) complete() {
	for _, d := range Definitions() {
		for _, values := range d.first {
			key := Key(d.Name, values...)
			if d.Buckets == nil {
				t.Counters[key] += 0
			} else {
				t.histogram(key, d.Buckets)
			}
		}
	}
}

// Key is the key of a series.
func Key(name string, values ...string) string {
	return strings.Join(append([]string{name}, values...), "|")
}

// Values are the label values of a key.
func Values(key string) []string { return strings.Split(key, "|")[1:] }

// histogram returns a histogram with these bounds. If another version of the program has written it with
// others, each count goes to the next higher bound.
func (t *Totals) histogram(key string, bounds []float64) *Histogram {
	old := t.Histograms[key]
	if old != nil && slices.Equal(old.Bounds, bounds) && len(old.Counts) == len(bounds)+1 {
		return old
	}
	h := &Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
	if old != nil {
		h.Sum = old.Sum
		for n, count := range old.Counts {
			at := len(bounds)
			if n < len(old.Bounds) {
				at, _ = slices.BinarySearch(bounds, old.Bounds[n])
			}
			h.Counts[at] += count
		}
	}
	t.Histograms[key] = h
	return h
}

func (t *Totals) add(value float64, name string, values ...string) {
	t.Counters[Key(name, values...)] += max(0, value)
}

func (t *Totals) observe(value float64, name string, values ...string) {
	h := t.histogram(Key(name, values...), bounds[name])
	value = max(0, value)
	at, _ := slices.BinarySearch(h.Bounds, value)
	h.Counts[at]++
	h.Sum += value
}

// addJob adds a job that is over.
func (t *Totals) addJob(j Job) {
	t.add(1, jobsTotal, string(j.Result), string(j.Class))
	if d := j.Duration(); d > 0 {
		t.observe(d.Seconds(), jobSeconds, string(j.Result))
	}
	for _, s := range j.Stages {
		label := stageLabel(s.Stage)
		t.add(1, stagesTotal, label, string(s.Result))
		if !s.Killed {
			t.observe(s.Seconds, stageSeconds, label)
		}
		if s.Stage == StagePrepare {
			t.add(1, attemptsTotal)
		}
	}
	seen := j.Seen()
	for _, s := range seen.Steps {
		t.observe(s.Seconds, stepSeconds, string(s.Step))
	}
	for _, p := range seen.Pulls {
		t.add(float64(p.Bytes), pullBytes)
		t.observe(p.Seconds, pullSeconds)
	}
	if seen.Peak > 0 {
		t.observe(float64(seen.Peak), storagePeak)
	}
	for kind, n := range seen.Left {
		t.add(float64(n), leftTotal, kind)
	}
	t.add(float64(seen.Containers), containersTotal)
	t.add(float64(seen.Retries), retriesTotal)
	t.add(float64(j.lost), lostTotal)
}

func (t *Totals) addGC(run GC) {
	result := "success"
	if run.Failed {
		result = "failure"
	}
	t.add(1, gcTotal, result)
	t.observe(run.Seconds, gcSeconds)
	t.add(float64(run.Removed), gcCollected, "removed")
	t.add(float64(run.Left), gcCollected, "left")
	t.add(float64(run.Retries), retriesTotal)
}

func (b *Book) totalsPath() string { return b.path("totals.json") }

// read reads the totals, and adds the ended jobs that are not in them. It returns the files of these
// jobs, and those that are in the totals already. The caller holds the lock.
func (b *Book) read() (t *Totals, added, folded []string, err error) {
	t = newTotals()
	text, err := os.ReadFile(b.totalsPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, err
	}
	if err == nil {
		t = &Totals{}
		if err := json.Unmarshal(text, t); err != nil || t.Schema != schema || t.Counters == nil || t.Histograms == nil {
			return nil, nil, nil, &unreadable{b.totalsPath(), err}
		}
		t.complete()
	}
	entries, err := os.ReadDir(b.path(ended))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, err
	}
	for _, e := range entries {
		file := e.Name()
		if slices.Contains(t.Folded, file) {
			folded = append(folded, file)
			continue
		}
		lines, lost, err := readLines(b.path(ended, file))
		if err != nil {
			return nil, nil, nil, err
		}
		name := file
		if n := strings.LastIndexByte(file, '-'); n > 0 {
			name = file[:n]
		}
		j := summary(name, lines)
		j.lost = lost
		t.addJob(j)
		added = append(added, file)
	}
	return t, added, folded, nil
}

// unreadable means that the totals are damaged.
type unreadable struct {
	path string
	err  error
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("%s is not readable (%v); the next gc moves it to %[1]s.damaged, and the counters begin at 0", u.path, u.err)
}

// Read returns the present totals and changes nothing. Without any job they are zero.
func (b *Book) Read(ctx context.Context) (*Totals, error) {
	unlock, err := b.Dir.RLockMetrics(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return newTotals(), nil
	} else if err != nil {
		return nil, err
	}
	defer unlock()
	t, _, _, err := b.read()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return t, nil
}

// Fold adds the ended jobs and a run of gc to the totals and removes the files of these jobs. Run may be
// nil. Totals that cannot be read are moved aside; the counters then begin at zero.
func (b *Book) Fold(ctx context.Context, run *GC) error {
	if err := b.Dir.MakeMetrics(running, retry, ended); err != nil {
		return err
	}
	unlock, err := b.Dir.LockMetrics(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	t, added, folded, err := b.read()
	if _, damaged := errors.AsType[*unreadable](err); damaged {
		b.Log.Warnf("The totals of the metrics: %v", err)
		if err := os.Rename(b.totalsPath(), b.totalsPath()+".damaged"); err != nil {
			return err
		}
		t, added, folded, err = b.read()
	}
	if err != nil {
		return err
	}
	for _, file := range folded {
		if err := os.Remove(b.path(ended, file)); err != nil {
			return err // otherwise the next list of folded files would lack it
		}
	}
	if run != nil {
		t.addGC(*run)
	}
	t.Folded = added
	b.removeTemporary()
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(b.totalsPath(), append(text, '\n'), 0o600); err != nil {
		return err
	}
	for _, file := range added { // if one stays, the next Fold removes it
		b.debug(os.Remove(b.path(ended, file)))
	}
	return nil
}

// removeTemporary removes what a killed Fold has left. The caller holds the lock.
func (b *Book) removeTemporary() {
	old, _ := filepath.Glob(b.path(".totals.json*"))
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()).Abs() > time.Minute {
			b.debug(os.Remove(path))
		}
	}
}
