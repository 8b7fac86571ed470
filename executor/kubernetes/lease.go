package kubernetes

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/containerd/errdefs"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gitlab-sysbox-executor/executor/job"
)

// A Lease with the name of the pod, and owned by it, tells all machines whether the driver of a job lives. Each call of the
// Runner renews it while it lasts. The Runner makes the next call at once, so leaseTime is long for the time between two.
const (
	leaseTime  = 10 * time.Minute
	renewEvery = time.Minute
)

// lease describes the Lease of a job.
func (b *Backend) lease(i job.Identity, pod *corev1.Pod) *coordinationv1.Lease {
	holder, _ := os.Hostname() // for people
	now, seconds := metav1.NowMicro(), int32(leaseTime/time.Second)
	l := &coordinationv1.Lease{ObjectMeta: b.meta(i, pod.Name, job.RoleBuild)}
	l.OwnerReferences = ownedBy(pod)
	l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: &now, RenewTime: &now, LeaseDurationSeconds: &seconds}
	return l
}

// Alive renews the Lease of a job until stop is called, for the first time at once.
func (b *Backend) Alive(ctx context.Context, i job.Identity) (stop func()) {
	return b.renew(ctx, i.Name(), 0)
}

// renew renews a Lease, for the first time after first.
func (b *Backend) renew(ctx context.Context, name string, first time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a cancelled script has a driver that ends it
	done := make(chan struct{})
	go func() {
		defer close(done)
		said := false
		for wait := time.After(first); ; wait = time.After(renewEvery) {
			select {
			case <-ctx.Done():
				return
			case <-wait:
			}
			switch err := b.API.RenewLease(ctx, name, time.Now()); {
			case err == nil, errors.Is(err, context.Canceled), errdefs.IsNotFound(err): // the job is of an earlier version, or gone
			case !said:
				said = true
				b.Log.Warnf("The sign of life of this job could not be renewed: %v. If that lasts for %s, a gc on another machine takes the job for over.", b.explain(err), leaseTime)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// until is when the driver of each pod counts as dead, by the pods' names. The selector is that of the pods. A pod that was made before the executor had
// Leases is not in it.
func (b *Backend) until(ctx context.Context, pods []corev1.Pod, selector string) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	for _, p := range pods {
		if len(p.Spec.SchedulingGates) > 0 { // its Lease is the next that is made
			all[p.Name] = p.CreationTimestamp.Add(leaseTime)
		}
	}
	if len(pods) == 0 {
		return all, nil
	}
	leases, err := b.API.Leases(ctx, selector)
	for _, l := range leases {
		if l.Spec.RenewTime != nil && l.Spec.LeaseDurationSeconds != nil {
			all[l.Name] = l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second)
		}
	}
	return all, err
}
