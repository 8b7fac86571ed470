package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/integration/runner"
)

// ask sends the private engine a request and wants it to be content.
func ask(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(world.engine.Host, "unix://"))
	}}}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "http://engine"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, response.Status, err, answer)
	}
	var fields map[string]any
	_ = json.Unmarshal(answer, &fields) // not every answer has a body
	return fields
}

// jobName is what the resources of the session's job are called.
func jobName(t testing.TB, s *runner.Session) string {
	t.Helper()
	found, err := world.engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	return found[0].Labels["io.gitlab-sysbox-executor.name"]
}

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

// gc runs gc with the place's configuration.
func (p *place) gc(t testing.TB, flags ...string) string {
	t.Helper()
	out, err := command(2*time.Minute, world.binary, append(append([]string{"gc"}, p.runner.Driver.ConfigArgs[1:]...), flags...)...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// What is busy for real. The holder is named, the cleanup gives up in
// time and gc finishes; where the holder lets go after 3 s, cleanup does it alone.
func TestBusy(t *testing.T) {
	t.Parallel()
	const bound = 8 * time.Second
	cases := []struct {
		name   string
		holder string // how the message names it
		hold   func(t *testing.T, p *place, s *runner.Session) (release func())
	}{
		{"a foreign mount name space holds the volume", `("sleep")`, func(t *testing.T, _ *place, s *runner.Session) func() {
			c, err := world.engine.Inspect(t.Context(), jobName(t, s))
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
		{"a foreign mount name space has the volume mounted", `("sleep")`, func(t *testing.T, _ *place, s *runner.Session) func() {
			volume, _ := ask(t, "GET", "/volumes/"+jobName(t, s), nil)["Mountpoint"].(string)
			return hold(t, `exec unshare -m sh -c 'mount --bind "$1" /mnt && echo ready && exec sleep 600' sh "$1"`, volume)
		}},
		{"a container's overlay is held", `("sleep")`, func(t *testing.T, _ *place, s *runner.Session) func() {
			c := ask(t, "GET", "/containers/"+jobName(t, s)+"/json", nil)
			driver, _ := c["GraphDriver"].(map[string]any)
			data, _ := driver["Data"].(map[string]any)
			merged, _ := data["MergedDir"].(string)
			if merged == "" {
				t.Fatalf("the engine tells no merged folder: %v", driver)
			}
			return hold(t, `exec unshare -m sh -c 'cd "$1" && echo ready && exec sleep 600' sh "$1"`, merged)
		}},
		{"a loop device is held", `("sleep")`, func(t *testing.T, p *place, s *runner.Session) func() {
			image := filepath.Join(p.stateDir, "image")
			out, err := command(30*time.Second, "sh", "-c", `truncate -s 16M "$1" && PATH=$PATH:/usr/sbin:/sbin losetup --find --show "$1"`, "sh", image)
			if err != nil {
				t.Fatal(err)
			}
			device := strings.TrimSpace(string(out))
			j, _, err := journal.Open(filepath.Join(p.stateDir, "journal"), jobName(t, s))
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
		{"another container uses the volume", "container gsx-test-holder", func(t *testing.T, _ *place, s *runner.Session) func() {
			ask(t, "POST", "/containers/create?name=gsx-test-holder", map[string]any{
				"Image": s.Job.Image.Name, "HostConfig": map[string]any{"Binds": []string{jobName(t, s) + ":/volume"}},
			})
			released := false
			release := func() {
				if !released {
					released = true
					ask(t, "DELETE", "/containers/gsx-test-holder", nil)
				}
			}
			t.Cleanup(release)
			return release
		}},
		{"another container is on the network", "container gsx-test-guest", func(t *testing.T, _ *place, s *runner.Session) func() {
			ask(t, "POST", "/containers/create?name=gsx-test-guest", map[string]any{
				"Image": s.Job.Image.Name, "Cmd": []string{"sleep", "600"}, "HostConfig": map[string]any{"NetworkMode": jobName(t, s), "Runtime": world.runtime},
			})
			ask(t, "POST", "/containers/gsx-test-guest/start", nil)
			released := false
			release := func() {
				if !released {
					released = true
					ask(t, "DELETE", "/containers/gsx-test-guest?force=1", nil)
				}
			}
			t.Cleanup(release)
			return release
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, settings{other: fmt.Sprintf("[cleanup]\ntimeout = %q", bound)})
			compare := p.unchanged(t)
			s := p.session(t, job(t, "bookworm", "true"))
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
			t.Logf("gc: %s", p.gc(t))
			compare()
		})
		t.Run(c.name+" for 3 s", func(t *testing.T) {
			p := newPlace(t, settings{})
			compare := p.unchanged(t)
			s := p.session(t, job(t, "bookworm", "true"))
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
