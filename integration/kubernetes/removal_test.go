package kubernetes

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// orphan is a session whose driver is started by a process that ends with it, so that the job's owner process has ended.
func (p *place) orphan(t *testing.T, j runner.Job) *runner.Session {
	t.Helper()
	o := *p
	for _, args := range []*[]string{&o.Driver.ConfigArgs, &o.Driver.PrepareArgs, &o.Driver.RunArgs, &o.Driver.CleanupArgs} {
		*args = append([]string{"600", o.Driver.Path}, *args...)
	}
	o.Driver.Path = "timeout"
	return o.open(t, j)
}

// A driver may be killed at any moment of prepare. The next gc removes what it left, and a later attempt at the job works.
func TestKilledInPrepare(t *testing.T) {
	p := newPlace(t)
	for _, after := range []time.Duration{20, 40, 60, 65, 70, 75, 80, 90, 100, 400, 1000, 1600} {
		s := p.orphan(t, job("true"))
		call := s.StartPrepare()
		time.Sleep(after * time.Millisecond)
		if err := call.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Wait(time.Minute); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed after %d ms: %q", after, objects(t))
		out := p.command(t, "gc")
		if strings.Contains(out, " left") && !strings.Contains(out, "0 left") {
			t.Error(out)
		}
		p.wantNothing(t)
	}
	p.succeed(t, job("true"))
	p.wantNothing(t)
}

// If the driver of a stage is killed, the stage's processes end in the container. Cleanup then removes the pod.
func TestKilledInScript(t *testing.T) {
	p := newPlace(t)
	s := p.prepared(t, job("true"))
	call := s.StartRun(runner.StageBuild, "trap '' TERM; sleep 4711 & setsid sleep 4711 & echo begun; wait")
	await(t, "the script", func() bool { return strings.Contains(call.Output().String(), "begun") })
	if err := call.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of its processes", func() bool {
		count := s.RunScript(t.Context(), runner.StageAfter, "echo sleeping $(ps -eo args= | grep -c '^sleep 4711')")
		return strings.Contains(count.Output.String(), "sleeping 0")
	})
	for range 2 { // the second has nothing to do
		if call := s.Cleanup(); call.Err != nil {
			t.Error(call)
		}
	}
	p.wantNothing(t)
}

// gc leaves a job alone whose owner process lives, and removes it without a state folder, too, once that has ended.
func TestGCKnowsTheLiving(t *testing.T) {
	p := newPlace(t)
	s := p.prepared(t, job("true"))
	other := newPlace(t) // a state folder that does not know the job
	for _, from := range []*place{p, other} {
		if out := from.command(t, "gc"); !strings.Contains(out, "0 removed, 1 kept") {
			t.Error(out)
		}
	}
	if out := p.command(t, "ps"); !strings.Contains(out, fmt.Sprint(s.Job.ID)) {
		t.Error(out)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
	dead := p.orphan(t, job("true"))
	if call := dead.Prepare(t.Context()); call.Err != nil {
		t.Fatal(call)
	}
	if out := other.command(t, "gc"); !strings.Contains(out, "1 removed") {
		t.Error(out)
	}
	if call := dead.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}

// A gc on another machine does not see the process that drives a job. The job's Lease says whether that lives.
func TestGCFromAnotherMachine(t *testing.T) {
	p := newPlace(t)
	s := p.prepared(t, job("true"))
	other := newPlace(t)
	gc := func() string {
		t.Helper()
		// The processes of another PID namespace are not seen from here either.
		out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", world.binary, "--config", other.config, "gc").CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return string(out)
	}
	if out := gc(); !strings.Contains(out, "0 removed, 1 kept") || !strings.Contains(out, "its driver gives signs of life") {
		t.Error(out)
	}
	lease := "/apis/coordination.k8s.io/v1/namespaces/" + world.env["NAMESPACE"] + "/leases/" + pods(t)[0].Name
	renewed := func(at time.Time) {
		var l coordinationv1.Lease
		get(t, lease, &l)
		l.Spec.RenewTime = &metav1.MicroTime{Time: at}
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		send(t, "PUT", lease, string(text))
	}
	renewed(time.Now().Add(-time.Hour))
	// A stage renews the Lease at once, and while it lasts.
	call := s.StartRun(runner.StageBuild, "echo begun; sleep 1000")
	await(t, "the script", func() bool { return strings.Contains(call.Output().String(), "begun") })
	if out := gc(); !strings.Contains(out, "0 removed, 1 kept") {
		t.Error(out)
	}
	renewed(time.Now().Add(-time.Hour))
	if out := gc(); !strings.Contains(out, "1 removed") || !strings.Contains(out, "no sign of life until") {
		t.Error(out)
	}
	if _, err := call.Wait(time.Minute); err != nil {
		t.Error(err)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}
