package removal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// fill leaves no block of the disk at dir free, and returns what frees them.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync() // it may say again that the disk is full
	probe := filepath.Join(dir, "probe")
	if err := os.WriteFile(probe, make([]byte, 64<<10), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	_ = os.Remove(probe) // it may not have been made at all
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		unix.Sync() // ext4 gives the blocks back at its next commit
	}
}

// A full disk refuses a change of a journal and leaves the file whole. The next change
// with room writes everything; a journal is forgotten without room.
func TestJournalOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			harness.SmallDisk(t, dir, kind)
			journals := filepath.Join(dir, "journal")
			j, _, err := journal.Open(journals, "gsx-1")
			if err == nil {
				err = j.Begin("identity", owner.Process{}, "unix:///engine")
			}
			for _, name := range []string{"a", "b", "c"} {
				if err == nil {
					err = j.Intend(journal.Resource{Kind: journal.Container, Name: name})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			free := fill(t, dir)
			for _, err := range []error{j.End(), j.Strike(journal.Container, "a")} {
				if !errors.Is(err, unix.ENOSPC) {
					t.Errorf("on a full disk: %v", err)
				}
			}
			if c, _, err := journal.Read(journals, "gsx-1"); err != nil || len(c.Resources) != 3 || c.Ended {
				t.Errorf("%+v %v", c, err)
			}
			free()
			if err := j.Strike(journal.Container, "b"); err != nil {
				t.Error(err)
			}
			if c, _, err := journal.Read(journals, "gsx-1"); err != nil || len(c.Resources) != 1 || !c.Ended {
				t.Errorf("%+v %v", c, err)
			}
			fill(t, dir)
			if err := j.Forget(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(journals); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
}

// onThisDisk keeps the jobs' images off the small disk, where they have no room.
const onThisDisk = "[storage]\nbackend = \"volume\""

// The state folder's disk is full at the start of prepare, of run, or of cleanup.
func TestFullDiskOfTheStateFolder(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"prepare", "run", "cleanup"} {
		t.Run(stage, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Other: onThisDisk})
			harness.SmallDisk(t, p.StateDir, "ext4")
			compare := p.Unchanged(t)
			s := p.Session(t, harness.Job(t, "bookworm", "echo ran"))
			free := func() {}
			full := func(at string) {
				if at == stage {
					free = fill(t, p.StateDir)
				}
			}
			full("prepare")
			call := s.Prepare(t.Context())
			if stage == "prepare" {
				if call.Exit != 2 || !strings.Contains(call.Output.String(), "no space left on device") {
					t.Errorf("%s", call)
				}
			} else if call.Err != nil {
				t.Fatal(call)
			}
			full("run")
			if stage != "prepare" {
				for _, stage := range []string{runner.StagePrepareScript, runner.StageGetSources} {
					if call := s.Run(t.Context(), stage); call.Err != nil {
						t.Error(call)
					}
				}
				if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil || !call.Output.Has("ran") {
					t.Error(call)
				}
			}
			full("cleanup")
			began := time.Now()
			call = s.Cleanup()
			// Once the disk is full, the journal stays as it is, and the log says so once.
			// Where prepare did not even get to a journal, it cannot be read either.
			text := call.Output.String()
			told := strings.Count(text, "no space left on device; the cleanup goes on without writing the journal")
			if call.Err != nil || stage != "prepare" && (told != 1 || strings.Count(text, "WARNING") != 1) {
				t.Error(call)
			}
			t.Logf("cleanup with a disk that was full from %s on: %s", stage, time.Since(began).Round(time.Millisecond))
			free()
			compare()
		})
	}
}

// A state folder that became read-only keeps nothing on the engine.
func TestReadOnlyStateFolder(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: onThisDisk})
	harness.SmallDisk(t, p.StateDir, "ext4")
	compare := p.Unchanged(t)
	s := p.Ready(t, harness.Job(t, "bookworm", "true"))
	remount := func(how string) {
		if out, err := exec.Command("mount", "-o", "remount,"+how, p.StateDir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	remount("ro")
	call := s.Cleanup()
	if !strings.Contains(call.Output.String(), "read-only file system") {
		t.Errorf("nothing is said of it\n%s", call)
	}
	found, err := harness.World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(found) != 0 {
		t.Errorf("%v %v\n%s", found, err, call)
	}
	remount("rw")
	harness.WantCleanup(t, s)
	compare()
}
