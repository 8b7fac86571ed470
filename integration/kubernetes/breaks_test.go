package kubernetes

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// wantCounted is harness.WantCounted for a script that then ends with the exit code 3.
func wantCounted(t *testing.T, r *runner.Result, want string, breaks int) {
	t.Helper()
	if r.Outcome != runner.ScriptFailure || r.ExitCode != 3 {
		t.Fatal(r)
	}
	harness.WantCounted(t, r, want, breaks)
}

// apiServer kills the API server, and returns what starts it again.
func apiServer(t *testing.T) (start func()) {
	t.Helper()
	file := filepath.Join(world.cluster, "run", "kube-apiserver.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if err != nil || !strings.Contains(string(line), world.cluster+"/") {
		t.Fatalf("process %d is not the API server: %q %v", pid, words, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return func() {
		log, err := os.OpenFile(filepath.Join(world.cluster, "log", "kube-apiserver.log"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		c := exec.Command(words[0], words[1:]...)
		c.Stdout, c.Stderr, c.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.Wait() }()
		if err := os.WriteFile(file, []byte(strconv.Itoa(c.Process.Pid)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The API server is killed and started in the middle of a stage: no line of its output is lost or doubled.
func TestAPIServerRestarts(t *testing.T) {
	p := newPlace(t)
	script, want := harness.Counted(10_000)
	play := p.Start(job(script, "exit 3"))
	if _, err := play.Log.WaitFor("line 2000 of the script", 2*time.Minute); err != nil {
		play.Abort()
		t.Fatal(err, play.Wait())
	}
	start := apiServer(t)
	time.Sleep(3 * time.Second)
	start()
	wantCounted(t, play.Wait(), want, 1)
	awaitAPI(t)
	p.wantNothing(t)
}

// awaitAPI waits until the API server answers.
func awaitAPI(t *testing.T) {
	t.Helper()
	await(t, "the API server", func() bool {
		r, err := world.client.Get(world.admin.Host + jobs("pods"))
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == 200
	})
}

// throughBreaks is a place whose API server is behind a proxy that can cut connections.
func throughBreaks(t *testing.T, further ...string) (*place, *harness.Breaks) {
	t.Helper()
	server, err := url.Parse(world.admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	b := harness.BreaksBefore(t, "127.0.0.1:0", "tcp", server.Host)
	text, err := os.ReadFile(world.env["KUBECONFIG_EXECUTOR"])
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(strings.ReplaceAll(string(text), server.Host, b.Address)), 0o600); err != nil {
		t.Fatal(err)
	}
	return newPlace(t, append(further, fmt.Sprintf("kubernetes.kubeconfig = %q", kubeconfig))...), b
}

// A load balancer cuts the connections in the middle of a stage, and refuses new ones for a while.
func TestConnectionBreaks(t *testing.T) {
	p, b := throughBreaks(t)
	script, want := harness.Counted(6_000)
	play := p.Start(job(script, "exit 3"))
	for _, line := range []string{"line 1000 of the script", "line 3000 of the script"} {
		if _, err := play.Log.WaitFor(line, 2*time.Minute); err != nil {
			play.Abort()
			t.Fatal(err, play.Wait())
		}
		b.Refuse(true)
		b.Cut()
		time.Sleep(time.Second)
		b.Refuse(false)
	}
	wantCounted(t, play.Wait(), want, 2)
	p.wantNothing(t)
}

// A stage that begins while no API server can be reached waits for it.
func TestStageBeginsWithoutConnection(t *testing.T) {
	p, b := throughBreaks(t)
	s := p.prepared(t, job("true"))
	b.Refuse(true)
	b.Cut()
	call := s.StartRun(runner.StageBuild, "echo begun")
	time.Sleep(5 * time.Second)
	b.Refuse(false)
	if call, err := call.Wait(2 * time.Minute); err != nil || call.Err != nil || strings.Count(call.Output.String(), "begun\n") != 1 {
		t.Error(call, err)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}

// If the connection does not come back within run.reconnect, the stage fails as the system's fault, and its processes end.
func TestConnectionDoesNotComeBack(t *testing.T) {
	p, b := throughBreaks(t, `run.reconnect = "3s"`)
	s := p.prepared(t, job("true"))
	call := s.StartRun(runner.StageBuild, "sleep 4711 & echo begun; sleep 4711")
	await(t, "the script", func() bool { return strings.Contains(call.Output().String(), "begun") })
	b.Refuse(true)
	b.Cut()
	ended, err := call.Wait(2 * time.Minute)
	if err != nil || ended.Err == nil || !strings.Contains(ended.Output.String(), "did not come back within 3s (run.reconnect)") {
		t.Error(ended, err)
	}
	b.Refuse(false)
	time.Sleep(5 * time.Second)
	if count := s.RunScript(t.Context(), runner.StageAfter, "echo sleeping $(ps -eo args= | grep -c '^sleep 4711')"); !strings.Contains(count.Output.String(), "sleeping 0") {
		t.Error(count)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}
