package kubernetes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The Lease of a job is owned by its pod, and says until when its driver counts as alive. A pod that waits for its Lease
// counts by its age, and one without a Lease says nothing.
func TestLease(t *testing.T) {
	b, m := inMemory(t)
	p := aPlan()
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := m.CreatePod(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	near := func(at, want time.Time) bool { return at.Sub(want).Abs() < 5*time.Second }
	until := func() time.Time {
		t.Helper()
		found, err := pods{b}.List(t.Context(), "")
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		return found[0].Until
	}
	if got := until(); !near(got, time.Now().Add(leaseTime)) {
		t.Errorf("behind its gate: %s", got)
	}
	if err := m.OpenGates(t.Context(), pod.Name); err != nil || !until().IsZero() {
		t.Errorf("without a Lease: %s, %v", until(), err)
	}
	l := b.lease(p.Identity, made)
	if len(l.OwnerReferences) != 1 || l.OwnerReferences[0].UID != made.UID || l.Name != pod.Name {
		t.Errorf("%+v", l.ObjectMeta)
	}
	old := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	l.Spec.RenewTime = &old
	if err := m.CreateLease(t.Context(), l); err != nil || !near(until(), old.Add(leaseTime)) {
		t.Errorf("%s, %v", until(), err)
	}
	stop := b.Alive(t.Context(), p.Identity)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !near(until(), time.Now().Add(leaseTime)); {
		time.Sleep(time.Millisecond)
	}
	if stop(); !near(until(), time.Now().Add(leaseTime)) {
		t.Errorf("it was not renewed: %s", until())
	}
	if found, err := (pods{b}).List(t.Context(), pod.Name); err != nil || len(found) != 1 || !near(found[0].Until, time.Now().Add(leaseTime)) {
		t.Errorf("of one job: %+v, %v", found, err)
	}
	m.fail["Leases"] = errdefs.ErrPermissionDenied
	if found, err := (pods{b}).List(t.Context(), pod.Name); err != nil || len(found) != 1 || !found[0].Until.IsZero() {
		t.Errorf("of one job without its Lease: %+v, %v", found, err)
	}
	if _, err := (pods{b}).List(t.Context(), ""); err == nil {
		t.Error("a list without Leases counts as one with them")
	}
}

// A driver that cannot renew says so once. A job of an earlier version, which has no Lease, goes on in silence.
func TestLeaseIsNotRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		said int
	}{"no right": {fmt.Errorf("x cannot patch: %w", errdefs.ErrPermissionDenied), 1}, "no Lease": {errdefs.ErrNotFound, 0}} {
		b, m := inMemory(t)
		var said strings.Builder
		log := logrus.New()
		log.SetOutput(&said)
		b.Log, m.fail["RenewLease"] = log, c.err
		stop := b.renew(t.Context(), "x", 0)
		called := func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.calls) > 0
		}
		for end := time.Now().Add(10 * time.Second); !called() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		stop()
		if got := strings.Count(said.String(), "could not be renewed"); got != c.said {
			t.Errorf("%s: %q", name, said.String())
		}
	}
}
