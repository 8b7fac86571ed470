package removal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// hold starts a process that holds something until it ends, and waits until it does.
func hold(t *testing.T, script string, args ...string) (release func()) {
	t.Helper()
	c := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	released := false
	release = func() {
		if !released {
			released = true
			_ = c.Process.Kill()
			_ = c.Wait() // it was killed
		}
	}
	t.Cleanup(release)
	if n, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(n, err)
	}
	return release
}

// What is busy for real. The holder is named, the cleanup gives up in
// time and gc finishes; where the holder lets go after 3 s, cleanup does it alone.
func TestBusy(t *testing.T) {
	t.Parallel()
	const bound = 8 * time.Second
	cases := []struct {
		name   string
		holder string // how the message names it
		hold   func(t *testing.T, p *harness.Place, s *runner.Session) (release func())
	}{
		{"a foreign mount name space holds the volume", `("sleep")`, func(t *testing.T, _ *harness.Place, s *runner.Session) func() {
			c, err := harness.World.Engine.Inspect(t.Context(), harness.JobName(t, s))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.Mounts {
				if m.Destination == "/var/lib/containers" {
					return hold(t, `exec unshare -m sh -c 'mount --bind "$1" /mnt && cd /mnt && echo ready && exec sleep 600' sh "$1"`, m.Source)
				}
			}
			t.Fatal("no volume")
			return nil
		}},
		{"a foreign mount name space has the volume mounted", `("sleep")`, func(t *testing.T, _ *harness.Place, s *runner.Session) func() {
			volume, _ := harness.Ask(t, "GET", "/volumes/"+harness.JobName(t, s), nil)["Mountpoint"].(string)
			return hold(t, `exec unshare -m sh -c 'mount --bind "$1" /mnt && echo ready && exec sleep 600' sh "$1"`, volume)
		}},
		{"a container's overlay is held", `("sleep")`, func(t *testing.T, _ *harness.Place, s *runner.Session) func() {
			c := harness.Ask(t, "GET", "/containers/"+harness.JobName(t, s)+"/json", nil)
			driver, _ := c["GraphDriver"].(map[string]any)
			data, _ := driver["Data"].(map[string]any)
			merged, _ := data["MergedDir"].(string)
			if merged == "" {
				t.Fatalf("the engine tells no merged folder: %v", driver)
			}
			return hold(t, `exec unshare -m sh -c 'cd "$1" && echo ready && exec sleep 600' sh "$1"`, merged)
		}},
		{"a loop device is held", `("sleep")`, func(t *testing.T, p *harness.Place, s *runner.Session) func() {
			image := filepath.Join(p.StateDir, "image")
			out, err := harness.Command(30*time.Second, "sh", "-c", `truncate -s 16M "$1" && PATH=$PATH:/usr/sbin:/sbin losetup --find --show "$1"`, "sh", image)
			if err != nil {
				t.Fatal(err)
			}
			device := strings.TrimSpace(string(out))
			j, _, err := journal.Open(filepath.Join(p.StateDir, "journal"), harness.JobName(t, s))
			if err == nil {
				err = j.Intend(journal.Resource{Kind: journal.Loop, Name: device, Detail: image, Answered: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			release := hold(t, `exec 5<"$1" && echo ready && exec sleep 600`, device)
			return func() {
				release()
				if err := os.Remove(image); err != nil && !os.IsNotExist(err) {
					t.Error(err)
				}
			}
		}},
		{"another container uses the volume", "container gsx-test-holder", func(t *testing.T, _ *harness.Place, s *runner.Session) func() {
			harness.Ask(t, "POST", "/containers/create?name=gsx-test-holder", map[string]any{
				"Image": s.Job.Image.Name, "HostConfig": map[string]any{"Binds": []string{harness.JobName(t, s) + ":/volume"}},
			})
			released := false
			release := func() {
				if !released {
					released = true
					harness.Ask(t, "DELETE", "/containers/gsx-test-holder", nil)
				}
			}
			t.Cleanup(release)
			return release
		}},
		{"another container is on the network", "container gsx-test-guest", func(t *testing.T, _ *harness.Place, s *runner.Session) func() {
			harness.Ask(t, "POST", "/containers/create?name=gsx-test-guest", map[string]any{
				"Image": s.Job.Image.Name, "Cmd": []string{"sleep", "600"}, "HostConfig": map[string]any{"NetworkMode": harness.JobName(t, s), "Runtime": harness.World.Runtime},
			})
			harness.Ask(t, "POST", "/containers/gsx-test-guest/start", nil)
			released := false
			release := func() {
				if !released {
					released = true
					harness.Ask(t, "DELETE", "/containers/gsx-test-guest?force=1", nil)
				}
			}
			t.Cleanup(release)
			return release
		}},
	}
	for _, c := range harness.Some(3, cases...) {
		t.Run(c.name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[cleanup]\ntimeout = %q", bound)})
			compare := p.Unchanged(t)
			s := p.Session(t, harness.Job(t, "bookworm", "true"))
			if call := s.Prepare(t.Context()); call.Err != nil {
				t.Fatal(call)
			}
			release := c.hold(t, p, s)
			call := s.Cleanup()
			if call.Err != nil || !strings.Contains(call.Output.String(), c.holder) {
				t.Errorf("the holder is not named, or cleanup failed\n%s", call)
			}
			if call.Duration > bound+2*time.Second || call.Duration < 2*time.Second {
				t.Errorf("cleanup took %s of %s", call.Duration, bound)
			}
			for _, line := range call.Output.Lines() {
				t.Log(line.Text)
			}
			release()
			t.Logf("gc: %s", p.GC(t))
			compare()
		})
		t.Run(c.name+" for 3 s", func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			compare := p.Unchanged(t)
			s := p.Session(t, harness.Job(t, "bookworm", "true"))
			if call := s.Prepare(t.Context()); call.Err != nil {
				t.Fatal(call)
			}
			release := c.hold(t, p, s)
			process := s.StartCleanup()
			time.Sleep(3 * time.Second)
			release()
			call, err := process.Wait(time.Minute)
			if err != nil || call.Err != nil || strings.Contains(call.Output.String(), "WARNING") {
				t.Fatal(err, call)
			}
			t.Logf("cleanup took %s", call.Duration.Round(time.Millisecond))
			compare()
		})
	}
}
