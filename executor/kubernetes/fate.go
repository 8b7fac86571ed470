package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/fault"
)

// fateTime is how long the status of a pod may lag behind its containers: the end of a container ends the processes in
// it, too, and a driver notices that first. The kubelet reports the end of the container before it says that it has
// evicted the pod.
var fateTime = 3 * time.Second

// fateOf returns why a container of a pod has ended; nil if it still runs after fateTime, or if nothing is known of it.
// It waits as long for a reason that says more than that the container has ended; known reports whether there is one.
func (b *Backend) fateOf(ctx context.Context, pod, container string) (why error, known bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fateTime)
	defer cancel()
	for {
		p, err := b.API.Pod(ctx, pod)
		if errdefs.IsNotFound(err) {
			return fmt.Errorf("pod %s was deleted", pod), true
		} else if err == nil {
			if why := reason(p, container); why != nil {
				return why, true
			}
			why = fate(p, container)
		}
		select {
		case <-ctx.Done():
			return why, false
		case <-time.After(endEvery):
		}
	}
}

// fate is why a container of a pod has ended or is ending, with whose fault that is; nil if it is not.
func fate(p *corev1.Pod, container string) error {
	if why := reason(p, container); why != nil {
		return why
	}
	if t := terminated(p, container); t != nil {
		return fmt.Errorf("container %s of pod %s ended with exit code %d (%s)", container, p.Name, t.ExitCode, t.Reason)
	}
	if p.DeletionTimestamp != nil {
		return fmt.Errorf("pod %s is being deleted", p.Name)
	}
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return fmt.Errorf("pod %s has ended: %s", p.Name, fault.Brief(p.Status.Reason+" "+p.Status.Message))
	}
	return nil
}

// reason is what the cluster did to end a container; nil if it did nothing, or has not reported it.
func reason(p *corev1.Pod, container string) error {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler {
			return fault.Systemf("pod %s was ended to make room for pods with a higher priority: %s; give the jobs a priority class (kubernetes.priority_class) or the cluster more nodes", p.Name, fault.Brief(c.Message))
		}
	}
	switch p.Status.Reason {
	case "Evicted":
		return evicted(p)
	case "DeadlineExceeded":
		return fault.Jobf("pod %s lived longer than a job may (kubernetes.deadline): shorten the job, or ask the runner's administrator for more", p.Name)
	}
	if t := terminated(p, container); t != nil && t.Reason == "OOMKilled" {
		return fault.Jobf("the job's container reached its memory limit, and the kernel ended it: raise resources.memory in the executor's configuration, or set the job variable EXECUTOR_MEMORY where job.overrides.memory allows it")
	}
	return nil
}

// evicted tells an eviction because of the job's own use from one because of others'. The messages are the kubelet's
// (pkg/kubelet/eviction):
//
//	Usage of EmptyDir volume "storage" exceeds the limit "1Gi".
//	Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.
//	The node was low on resource: memory. ...
func evicted(p *corev1.Pod) error {
	text := fault.Brief(p.Status.Message)
	if strings.Contains(text, "exceeds the") {
		return fault.Jobf("the kubelet evicted pod %s because the job wrote too much: %s Write less, or ask the runner's administrator for a larger storage.size", p.Name, text)
	}
	return fault.Systemf("the kubelet evicted pod %s: %s The node is short of a resource; run fewer jobs on it, or give it more", p.Name, text)
}

// terminated is the end of a container; nil if it has not ended.
func terminated(p *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	if s := statusOf(p, container); s != nil {
		return s.State.Terminated
	}
	return nil
}

// statusOf is the status of a container; nil if it is not known.
func statusOf(p *corev1.Pod, container string) *corev1.ContainerStatus {
	for _, all := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for n := range all {
			if all[n].Name == container {
				return &all[n]
			}
		}
	}
	return nil
}
