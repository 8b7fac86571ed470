package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/leftovers"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// jobs are the jobs that a place has played.
type jobs struct {
	sync.Mutex
	ids map[int64]bool
}

func (j *jobs) add(job runner.Job) {
	j.Lock()
	defer j.Unlock()
	j.ids[job.ID] = true
}

// jobInName is where the names of a job's things have its number.
var jobInName = regexp.MustCompile(`^/?gsx-[0-9a-f]+-p\d+-j(\d+)`)

// named tells whether name is one of a job's things.
func (j *jobs) named(name string) bool {
	found := jobInName.FindStringSubmatch(name)
	if found == nil {
		return false
	}
	id, err := strconv.ParseInt(found[1], 10, 64)
	j.Lock()
	defer j.Unlock()
	return err == nil && j.ids[id]
}

// owns tells whether an object of the engine is the place's: by the label of its
// state folder, or by the number of one of its jobs in the name.
func (p *Place) owns(name string, labels map[string]string) bool {
	var s unix.Stat_t
	if unix.Stat(p.StateDir, &s) == nil && labels["io.gitlab-sysbox-executor.state"] == fmt.Sprintf("%d-%d", s.Dev, s.Ino) {
		return true
	}
	return p.jobs.named(name)
}

// owned is everything of the place's.
func (p *Place) owned() leftovers.Scope {
	all := Scope(p.StateDir)
	all.Owns = &leftovers.Owner{Object: p.owns, Dir: p.Dir}
	return all
}

// Scope is everything that a test may leave behind.
func Scope(stateDirs ...string) leftovers.Scope {
	return leftovers.Scope{Engine: World.Engine, EngineDir: World.engineDir, StateDirs: stateDirs, Driver: World.Binary}
}

// Unchanged returns a function that compares what the place has on the machine
// with what it has now. What nobody owns is compared once, for all tests together.
func (p *Place) Unchanged(t testing.TB) (compare func()) {
	t.Helper()
	return unchanged(t, p.owned())
}

// MachineUnchanged compares the whole machine. Tests that use it are not parallel.
func (p *Place) MachineUnchanged(t testing.TB) (compare func()) {
	t.Helper()
	return unchanged(t, Scope(p.StateDir))
}

func unchanged(t testing.TB, s leftovers.Scope) (compare func()) {
	t.Helper()
	before := Snapshot(t, s)
	return func() {
		t.Helper()
		if diff := leftovers.Diff(before, Snapshot(t, s)); diff != "" {
			t.Errorf("left behind:\n%s", diff)
		}
	}
}

// Snapshot is what there is now of a scope.
func Snapshot(t testing.TB, s leftovers.Scope) leftovers.Snapshot {
	t.Helper()
	found, err := s.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Left is what there is of a job on the engine, and every file in the place's state
// folder.
func (p *Place) Left(t testing.TB, job int64) (all []string) {
	t.Helper()
	label := fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", job)
	for kind, list := range map[string]func(context.Context, ...string) ([]engine.Object, error){
		"containers": World.Engine.Containers, "volumes": World.Engine.Volumes, "networks": World.Engine.Networks,
	} {
		found, err := list(t.Context(), label)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			all = append(all, fmt.Sprintf("%d %s", len(found), kind))
		}
	}
	return append(all, FilesBelow(t, p.StateDir)...)
}

// FilesBelow are the files below a folder, at any depth, without those of a state folder that count jobs.
func FilesBelow(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && path == statedir.Dir(dir).Metrics() {
			return filepath.SkipDir
		}
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}
