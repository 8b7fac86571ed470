package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/lyingengine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A volume is kept although the engine is slow to answer in cleanup: by then it may have removed the container that
// has just ended.
func TestKeptWithASlowEngine(t *testing.T) {
	t.Parallel()
	proxy, err := lyingengine.Start(filepath.Join(t.TempDir(), "docker.sock"), strings.TrimPrefix(harness.World.Engine.Host, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	p := harness.NewPlace(t, keepingSettings(proxy.Host, ""))
	project := harness.NewProject()
	s := finished(t, p, counted(t, project))
	proxy.Spoil("GET /containers/*/json", lyingengine.Fault{Delay: 2 * time.Second, Done: true}, 1<<30)
	harness.WantCleanup(t, s)
	proxy.Heal()
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 2")
}

// A volume whose loop device is in use for some seconds after the job is kept once it is released.
func TestKeptWhenItsDeviceIsReleased(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	s := finished(t, p, counted(t, project))
	device, err := os.Open(loopBelow(t, p.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	time.AfterFunc(8*time.Second, func() {
		close(held)
		device.Close()
	})
	harness.WantCleanup(t, s)
	select {
	case <-held:
	default:
		t.Error("kept while its device is in use")
	}
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 2")
}

// A volume whose container has ended by itself after the last stage is not kept: its processes were killed. The
// Runner's log says so.
func TestNotKeptIfTheContainerEndedByItself(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	project := harness.NewProject()
	s := finished(t, p, counted(t, project))
	found, err := harness.World.Engine.Containers(t.Context(), "io.gitlab-sysbox-executor.name="+harness.JobName(t, s))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	harness.Ask(t, "POST", "/containers/"+found[0].ID+"/kill", nil)
	if call := s.Cleanup(); call.Err != nil || !strings.Contains(call.Output.String(), "is not kept for the project's next job") {
		t.Error(call)
	}
	harness.WantLines(t, p.Succeed(t, counted(t, project)), "storage 1")
}

// finished is a job whose last stage is over.
func finished(t *testing.T, p *harness.Place, j runner.Job) *runner.Session {
	t.Helper()
	s := p.Ready(t, j)
	for _, stage := range []string{runner.StageBuild, lastStage} {
		if call := s.Run(t.Context(), stage); call.Err != nil {
			t.Fatal(call)
		}
	}
	return s
}

// loopBelow is the loop device of the file system image in a folder.
func loopBelow(t *testing.T, folder string) string {
	t.Helper()
	attached, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attached {
		if file, err := os.ReadFile(a); err == nil && strings.HasPrefix(string(file), folder+"/") {
			return "/dev/" + strings.Split(a, "/")[3]
		}
	}
	t.Fatalf("no loop device of %s", folder)
	return ""
}
