package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

func aJournal(t *testing.T, p job.Plan) *journal.Journal {
	t.Helper()
	j, _, err := journal.Open(t.TempDir(), p.Identity.Name())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// The states of a pod that starts.
func scheduled(p *corev1.Pod) { p.Spec.NodeName = "node" }

func running(p *corev1.Pod) {
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: jobContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

// waits is a pod of which a container waits.
func waits(container, reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := corev1.ContainerStatus{Name: container, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{s}
	}
}

func ends(container, reason string, code int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := corev1.ContainerStatus{Name: container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
	}
}

func condition(c corev1.PodCondition) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Conditions = []corev1.PodCondition{c} }
}

func failed(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, reason, message
	}
}

// If a pod does not start, one line says why, and whether the job or the system is at fault.
func TestPodsThatDoNotStart(t *testing.T) {
	lasting := condition(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available"})
	for name, c := range map[string]struct {
		life   func(*corev1.Pod)
		events []string
		class  fault.Class
		want   string
	}{
		"no such image":       {waits(imageContainer, "ErrImagePull", "failed to resolve: debian:99: not found"), nil, fault.Job, "image debian:12 cannot be pulled: failed to resolve"},
		"no right":            {waits(imageContainer, "ErrImagePull", "pull access denied"), nil, fault.Job, "give the job credentials"},
		"no registry":         {waits(imageContainer, "ErrImagePull", "dial tcp: i/o timeout"), nil, fault.System, "the node cannot pull image debian:12: dial tcp"},
		"never":               {waits(imageContainer, "ErrImageNeverPull", "x"), nil, fault.Job, "the pull policy is never"},
		"no name":             {waits(imageContainer, "InvalidImageName", "x"), nil, fault.Job, "is not the name of an image"},
		"no agent":            {waits(installContainer, "ImagePullBackOff", "not found"), nil, fault.System, "cannot pull the agent's image agent:1"},
		"no container":        {waits(imageContainer, "CreateContainerError", "no space"), nil, fault.System, "cannot make container image of the pod: CreateContainerError: no space"},
		"no node":             {lasting, nil, fault.System, "no node took pod gsx-"},
		"an event":            {scheduled, []string{"a: b", "FailedCreatePodSandBox: no runtime"}, fault.System, "did not run within 100ms: FailedCreatePodSandBox: no runtime"},
		"nothing known":       {scheduled, nil, fault.System, "kubectl describe pod"},
		"evicted":             {failed("Evicted", "The node was low on resource: memory."), nil, fault.System, "The node is short of a resource"},
		"evicted for its use": {failed("Evicted", `Usage of EmptyDir volume "storage" exceeds the limit "1Gi". `), nil, fault.Job, "the job wrote too much"},
		"too old":             {failed("DeadlineExceeded", "x"), nil, fault.Job, "kubernetes.deadline"},
		"preempted":           {condition(corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler}), nil, fault.System, "higher priority"},
		"out of memory":       {ends(jobContainer, "OOMKilled", 137), nil, fault.Job, "resources.memory"},
		"an end":              {ends(jobContainer, "Error", 3), nil, fault.System, "ended with exit code 3"},
		"another failure":     {failed("UnexpectedAdmissionError", "no devices"), nil, fault.System, "UnexpectedAdmissionError no devices"},
	} {
		t.Run(name, func(t *testing.T) {
			b, m := inMemory(t, c.life)
			m.events = c.events
			p := aPlan()
			_, err := b.Prepare(t.Context(), p, aJournal(t, p))
			if err == nil || fault.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %v", fault.ClassOf(err), err)
			}
		})
	}
}

func status(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message}}
}

// A refusal of the API server says what to do.
func TestRefusals(t *testing.T) {
	forbidden := func(message string) error {
		return fmt.Errorf("creating pod x: %w: %w", status(403, metav1.StatusReasonForbidden, message), errdefs.ErrPermissionDenied)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"quota":     {forbidden(`pods "x" is forbidden: exceeded quota: jobs, requested: pods=1, used: pods=5, limited: pods=5`), "the quota of namespace jobs has no room"},
		"rights":    {forbidden(`pods is forbidden: User "x" cannot create resource "pods" in API group ""`), "lacks a right in the cluster"},
		"admission": {forbidden(`pods "x" is forbidden: violates PodSecurity "restricted:latest"`), "admission control refuses the job's pod"},
		"namespace": {fmt.Errorf("%w: %w", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "jobs"), errdefs.ErrNotFound), "no namespace jobs"},
		"a token":   {fmt.Errorf("%w: %w", status(401, metav1.StatusReasonUnauthorized, "Unauthorized"), errdefs.ErrUnauthenticated), "does not know the executor's account"},
		"another":   {errors.New("no idea"), "no idea"},
	} {
		t.Run(name, func(t *testing.T) {
			b, m := inMemory(t)
			m.fail["CreatePod"] = c.err
			p := aPlan()
			j := aJournal(t, p)
			_, err := b.Prepare(t.Context(), p, j)
			if err == nil || fault.ClassOf(err) != fault.System || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if r := j.Resources(); len(r) != 1 || !r[0].Answered {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The pod owns its secrets from their first moment, and the scheduler gets it after them. If the API server does not
// answer, the pod may still appear.
func TestOrderOfRequests(t *testing.T) {
	b, m := inMemory(t, scheduled, running)
	p := aPlan()
	p.Image.Credentials = image.Sources{Payload: []image.Login{{Registry: "docker.io", Username: "ci", Password: "x"}}}
	j := aJournal(t, p)
	if _, err := b.Prepare(t.Context(), p, j); err == nil || !strings.Contains(err.Error(), "there is no process") {
		t.Fatal(err)
	}
	if want := []string{"CreatePod", "CreateLease", "CreateSecret", "CreateSecret", "OpenGates"}; !slices.Equal(m.calls[:5], want) {
		t.Errorf("%q", m.calls)
	}
	for _, s := range m.secrets {
		if o := s.OwnerReferences; len(o) != 1 || o[0].UID != m.pods[p.Identity.Name()].UID {
			t.Errorf("%s is owned by %+v", s.Name, o)
		}
	}
	if r := j.Resources(); len(r) != 1 || r[0].Kind != journal.Pod || r[0].Detail == "" {
		t.Errorf("%+v", r)
	}
	b, m = inMemory(t)
	m.fail["CreatePod"] = errdefs.ErrUnavailable
	j = aJournal(t, p)
	if _, err := b.Prepare(t.Context(), p, j); err == nil || j.Resources()[0].Answered {
		t.Errorf("%v, %+v", err, j.Resources())
	}
}

// A job that needs what this backend does not have is refused before anything is made.
func TestJobsThatAreRefused(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		change func(*job.Plan)
		want   string
	}{
		"its user":     {func(p *job.Plan) { p.Services = []job.Service{{Image: aPlan().Image, User: "postgres"}} }, `the user "postgres" is not a number`},
		"no root":      {func(p *job.Plan) { p.Systemd, p.SystemdRefused = &yes, "job.user is 1000" }, "which this runner does not allow: job.user is 1000"},
		"a platform":   {func(p *job.Plan) { p.Image.Platform = "linux/arm64" }, "the platform of their node"},
		"two policies": {func(p *job.Plan) { p.Image.Policies = []image.Policy{image.Always, image.Never} }, "write one instead of always, never"},
	} {
		b, m := inMemory(t)
		p := aPlan()
		c.change(&p)
		_, err := b.Prepare(t.Context(), p, aJournal(t, p))
		if err == nil || fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), c.want) || len(m.calls) > 0 {
			t.Errorf("%s: %v, %q", name, err, m.calls)
		}
	}
}

// A script whose container has ended fails with the reason, which only the pod knows.
func TestLostScripts(t *testing.T) {
	b, m := inMemory(t)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "gsx", UID: "1"}}
	m.pods["gsx"] = p
	old := fateTime
	t.Cleanup(func() { fateTime = old })
	fateTime = 400 * time.Millisecond
	c := b.Inside(address("gsx", jobContainer), owner0, "the job's container")
	run := func() error {
		_, err := c.Run(t.Context(), agentclient.Script{Stage: "build_script"}, t.Output())
		return err
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "there is no process") {
		t.Errorf("while it runs: %v", err)
	}
	// The pod's status comes after the end of its processes.
	time.AfterFunc(fateTime/4, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		ends(jobContainer, "Completed", 0)(p)
	})
	time.AfterFunc(fateTime/2, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		failed("Evicted", `Usage of EmptyDir volume "storage" exceeds the limit "1Gi". `)(p)
	})
	if err := run(); fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), "the job wrote too much") {
		t.Errorf("evicted: %v", err)
	}
	delete(m.pods, "gsx")
	if err := run(); err == nil || !strings.Contains(err.Error(), "pod gsx was deleted") {
		t.Errorf("deleted: %v", err)
	}
}

func TestEnds(t *testing.T) {
	b, m := inMemory(t)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "gsx", UID: "1"}}
	m.pods["gsx"] = p
	id := address("gsx", jobContainer)
	if b.Ends(t.Context(), id, endEvery/2) || b.EndedByItself(t.Context(), id) {
		t.Error("it runs")
	}
	ends(jobContainer, "Completed", 0)(p)
	if !b.Ends(context.WithoutCancel(t.Context()), id, endEvery/2) || !b.EndedByItself(t.Context(), id) {
		t.Error("it has ended")
	}
	old := fateTime
	t.Cleanup(func() { fateTime = old })
	fateTime = 10 * time.Millisecond
	if why := b.WhyEnded(t.Context(), id); why != nil {
		t.Error(why)
	}
	failed("Evicted", "")(p)
	if why := b.WhyEnded(t.Context(), id); b.EndedByItself(t.Context(), id) || why == nil || !strings.Contains(why.Error(), "evicted") {
		t.Errorf("it was evicted: %v", why)
	}
}
