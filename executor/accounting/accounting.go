// Package accounting counts what jobs did. The program runs once for each stage, so the counts are in files
// below <state_dir>/metrics:
//
//	running/NAME     a job: each stage appends a line when it begins and when it ends
//	retry/NAME       a job whose prepare failed because of the system: the Runner may try it again
//	ended/NAME-TIME  a job that is over, and not yet in the totals
//	totals.json      the sums over all jobs before
//
// A job is counted by moving its file from running to ended. Only one process can do that, so each job is
// counted once, whoever is killed. From time to time the files in ended are added to the totals and removed.
// The totals name the files that they contain, so that a file that was added and not removed does not count
// twice. A process that is killed while it writes loses its own line at most.
//
// Nothing here fails a job: an error is logged at debug level.
package accounting

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
)

// Book has the accounts of all jobs with this state folder.
type Book struct {
	Dir statedir.Dir
	// Ended is called once for each job that is over; it may be nil.
	Ended func(Job)
	Log   logrus.FieldLogger
}

// The folders.
const (
	running = "running"
	retry   = "retry"
	ended   = "ended"
)

func (b *Book) path(names ...string) string {
	return filepath.Join(append([]string{b.Dir.Metrics()}, names...)...)
}

// debug logs an error that changes nothing for the job.
func (b *Book) debug(err error) {
	if err != nil {
		b.Log.Debugf("Metrics: %v", err)
	}
}

// Call is one call of the program for a job.
type Call struct {
	book  *Book
	file  *os.File // nil if there is none
	id    string
	began time.Time
}

// longestStage limits the names of stages, in bytes: job authors choose some.
const longestStage = 100

// Begin records that a stage of a job begins. Only prepare begins an account, or continues that of a job whose
// prepare failed before. Another stage of a job without an account records nothing: the job was counted
// before, or an older version of the program has prepared it. Ignored is true if the job may succeed although the stage fails.
func (b *Book) Begin(i job.Identity, stage string, ignored bool) *Call {
	c := &Call{book: b, began: time.Now()}
	c.id = fmt.Sprintf("%d-%d", os.Getpid(), c.began.UnixNano())
	path := b.path(running, i.Name())
	flags := os.O_WRONLY | os.O_APPEND
	first := begin{ID: c.id, Stage: stage[:min(len(stage), longestStage)], At: c.began.UTC(), Ignored: ignored, Identity: i}
	if stage == StagePrepare {
		flags |= os.O_CREATE
		first.Owner = owner.Parse(owner.Label()) // which the labels of the job's resources need, too
		if err := os.Rename(b.path(retry, i.Name()), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.debug(err)
		}
	}
	var err error
	if c.file, err = b.open(path, flags); err != nil {
		if stage == StagePrepare || !errors.Is(err, fs.ErrNotExist) {
			b.debug(err)
		}
		c.file = nil
		return c
	}
	b.debug(appendLine(c.file, line{Begin: &first}))
	return c
}

// open opens a job's file, and makes the folders if they are missing.
func (b *Book) open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if flags&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := b.Dir.MakeMetrics(running, retry, ended); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flags, 0o600)
}

// End records how the stage ended and what it did.
func (c *Call) End(o Outcome, seen observe.Seen) {
	if c.file == nil {
		return
	}
	defer c.file.Close()
	c.book.debug(appendLine(c.file, line{End: &end{ID: c.id, Outcome: o, Seconds: time.Since(c.began).Seconds(), Seen: seen}}))
}

// mostEnded is the number of ended jobs from which on the next one adds them to the totals. More than
// mostLost are there only if that fails. Further jobs are then not counted.
const (
	mostEnded = 128
	mostLost  = 32 * mostEnded
)

// retryTime is how long after a failed prepare another attempt may come. The Runner waits three seconds.
const retryTime = 2 * time.Minute

// Finish counts a job that is over, unless it was counted before or the Runner may try it again. It
// is called after the job's removal, successful or not. After cleanup it also counts other jobs that are
// overdue.
func (b *Book) Finish(ctx context.Context, name string, by By) {
	b.finish(running, name, by)
	if by == ByGC { // it folds at its end
		return
	}
	waiting, _ := os.ReadDir(b.path(retry)) // without the folder there is nothing to do
	b.overdue(waiting)
	done, _ := os.ReadDir(b.path(ended))
	if len(done) >= mostEnded {
		b.debug(b.Fold(ctx, nil))
	}
}

// finish moves a job's file, and reports whether it was this process that did.
func (b *Book) finish(from, name string, by By) bool {
	path := b.path(from, name)
	lines, lost, err := readLines(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			b.debug(err)
		}
		return false
	}
	j := summary(name, lines)
	j.lost = lost
	if by == ByCleanup && j.mayComeAgain() {
		now := time.Now()
		b.debug(os.Chtimes(path, now, now))
		b.debug(os.Rename(path, b.path(retry, name)))
		return false
	}
	at := time.Now().UTC()
	if by == ByTime {
		at = j.lastSeen()
	}
	if !j.over {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			b.debug(appendLine(f, line{Over: &over{At: at, By: by}}))
			f.Close()
		}
		j = summary(name, append(lines, line{Over: &over{At: at, By: by}}))
	}
	if err := b.move(path, name); err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // otherwise another process has counted it
			b.debug(err)
		}
		return false
	}
	if b.Ended != nil {
		b.Ended(j)
	}
	return true
}

// move moves a job's file to the ended ones.
func (b *Book) move(path, name string) error {
	if done, _ := os.ReadDir(b.path(ended)); len(done) >= mostLost {
		return errors.Join(fmt.Errorf("%s has %d files: job %s is not counted", b.path(ended), len(done), name), os.Remove(path))
	}
	return os.Rename(path, b.path(ended, fmt.Sprintf("%s-%d", name, time.Now().UnixNano())))
}

// overdue counts jobs whose prepare failed and for which no other attempt came.
func (b *Book) overdue(waiting []os.DirEntry) {
	for _, e := range waiting {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()).Abs() > retryTime {
			b.finish(retry, e.Name(), ByTime)
		}
	}
}

// forgottenTime is how long a job without a journal may be unused. It has none only for the first seconds of
// its first prepare, and after its cleanup.
const forgottenTime = time.Hour

// orphans counts jobs that have no journal: their last process was killed before there was one, or after
// cleanup had removed it. gc finds all other jobs by their journals.
func (b *Book) orphans() {
	entries, _ := os.ReadDir(b.path(running)) // without the folder there is nothing to do
	for _, e := range entries {
		name := e.Name()
		if _, err := os.Lstat(journal.Path(b.Dir.Journals(), name)); err == nil || b.Dir.Used(name) {
			continue
		}
		lines, _, err := readLines(b.path(running, name))
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		j := summary(name, lines)
		if j.owner.State(true) == owner.Ended || time.Since(info.ModTime()).Abs() > forgottenTime {
			b.finish(running, name, ByGC)
		}
	}
}

// GC is one run of gc.
type GC struct {
	Seconds       float64
	Failed        bool
	Removed, Left int // jobs and resources
	Retries       int
}

// Collected counts a run of gc, and adds all ended jobs to the totals.
func (b *Book) Collected(ctx context.Context, run GC) {
	waiting, _ := os.ReadDir(b.path(retry))
	b.overdue(waiting)
	b.orphans()
	b.debug(b.Fold(ctx, &run))
}

// stageLabel is the label of a stage: job authors choose the names of some.
func stageLabel(stage string) string {
	switch {
	case slices.Contains(stages, stage):
		return stage
	case strings.HasPrefix(stage, "step_"):
		return "step"
	}
	return "other"
}
