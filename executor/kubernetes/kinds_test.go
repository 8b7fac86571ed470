package kubernetes

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/teardown"
)

var owner0 owner.Process

// A pod is found by its labels and removed by its UID. A pod that only has a job's name is not the job's.
func TestPodsAreFoundAndRemoved(t *testing.T) {
	b, m := inMemory(t)
	p := aPlan()
	wanted, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.CreatePod(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	other := p
	other.Identity.JobID = 5
	foreign, err := b.pod(other, known{})
	if err != nil {
		t.Fatal(err)
	}
	delete(foreign.Labels, job.LabelName)
	if _, err := m.CreatePod(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	k := b.Kinds()[0]
	for _, name := range []string{"", p.Identity.Name()} {
		found, err := k.List(t.Context(), name)
		if err != nil || len(found) != 1 || found[0].Name != wanted.Name || found[0].Labels[job.LabelOwner] == "" || found[0].Made.IsZero() {
			t.Fatalf("%q: %+v, %v", name, found, err)
		}
	}
	if found, err := k.List(t.Context(), "gsx-0123abcd-p1-j1"); err != nil || len(found) > 0 {
		t.Errorf("another job's: %+v, %v", found, err)
	}
	found, _ := k.List(t.Context(), "")
	stale := found[0]
	stale.ID = address(wanted.Name, "another")
	if err := k.Remove(t.Context(), stale, nil); err != nil || m.pods[wanted.Name] == nil {
		t.Errorf("a pod with the same name was removed, %v", err)
	}
	for range 2 { // gone is as good
		if err := k.Remove(t.Context(), found[0], nil); err != nil || m.pods[wanted.Name] != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestMeaning(t *testing.T) {
	for err, want := range map[error]teardown.Meaning{
		nil: teardown.Gone, errdefs.ErrNotFound: teardown.Gone, errdefs.ErrUnavailable: teardown.Busy,
		errdefs.ErrPermissionDenied: teardown.Failed, errStillThere: teardown.Busy, errors.New("x"): teardown.Odd,
	} {
		if got := meaning(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}
