package hostile

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
)

// lockAll has a local user of the host without any right lock everything below dir
// that it can open, until the test's end, and returns how many paths that were.
func lockAll(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		c := exec.Command("flock", "--no-fork", "--exclusive", "--nonblock", path, "sh", "-c", "echo ready; exec sleep 600")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.StdoutPipe()
		if err != nil {
			return err
		}
		if err := c.Start(); err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		if said, _ := out.Read(make([]byte, 6)); said > 0 {
			t.Logf("locked by another user: %s", path)
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A local user of the host locks all that it can open below the state folder: jobs
// go on, and gc removes what is to go. The folders are as an older version left them.
func TestHostileLocks(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	p.Runner.StageTimeout = time.Minute
	for _, dir := range []string{"jobs", "images", "journal"} {
		if err := os.MkdirAll(filepath.Join(p.StateDir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dead := harness.JobName(t, p.Orphaned(t, harness.Job(t, "bookworm", "true")))
	if lockAll(t, p.StateDir) == 0 {
		t.Fatal("the other user locks nothing: it does not do what this test is about")
	}
	p.Succeed(t, harness.Job(t, "bookworm", "true"))
	out := p.GC(t)
	if !strings.Contains(out, "removed  "+dead) {
		t.Errorf("gc has not removed %s:\n%s", dead, out)
	}
}
