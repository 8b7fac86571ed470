package kubernetes

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/observe"
)

// await waits until the job container runs, and returns the pod.
func (b *Backend) await(ctx context.Context, p job.Plan, made *corev1.Pod) (*corev1.Pod, error) {
	defer observe.Begin(ctx, observe.Start)()
	b.Log.Infof("Waiting for pod %s in namespace %s ...", made.Name, b.API.Namespace())
	limited, cancel := context.WithTimeoutCause(ctx, b.startTime(), errLate)
	defer cancel()
	w := waiting{backend: b, plan: p, last: made}
	err := b.API.WatchPod(limited, made.Name, w.see)
	if errors.Is(err, errLate) || errors.Is(context.Cause(limited), errLate) {
		return nil, w.late(ctx)
	}
	return w.last, err
}

// waiting is what is known of a pod that starts.
type waiting struct {
	backend *Backend
	plan    job.Plan
	last    *corev1.Pod
	said    string // the last reason for the wait that was logged
	node    bool   // whether the node was logged
}

// see is called for each state of the pod, with nil for its end.
func (w *waiting) see(p *corev1.Pod) (done bool, err error) {
	if p == nil || p.UID != w.last.UID {
		return false, fault.Systemf("pod %s was deleted while it started", w.last.Name)
	}
	w.last = p
	if why := w.hopeless(p); why != nil {
		return false, why
	}
	if reason := unscheduled(p); reason != "" && reason != w.said {
		w.said = reason
		w.backend.Log.Infof("No node takes the pod yet: %s", fault.Brief(reason))
	}
	if p.Spec.NodeName != "" && !w.node {
		w.node = true
		w.backend.Log.Infof("The pod is on node %s.", p.Spec.NodeName)
	}
	// A service may have ended already; the service log reports that. The agent waits for the container that finds out
	// about the image. The helper may not be needed.
	needed := []string{jobContainer}
	for n := range w.plan.Services {
		needed = append(needed, serviceContainer(n))
	}
	for _, name := range needed {
		s := statusOf(p, name)
		if s == nil || s.State.Running == nil && (name == jobContainer || s.State.Terminated == nil) {
			return false, nil
		}
	}
	return true, nil
}

// unscheduled is the scheduler's reason why no node takes the pod; empty if one does, or if it has not tried.
func unscheduled(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.Message
		}
	}
	return ""
}

// hopeless is why the pod will not run; nil if it may.
func (w *waiting) hopeless(p *corev1.Pod) error {
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if s.Name == helperContainer {
			continue
		}
		if why := w.stuck(s); why != nil {
			return why
		}
	}
	if t := terminated(p, jobContainer); t != nil && t.Reason == startError {
		err := fault.Systemf("the first process of the job's container does not start: %s", fault.Brief(t.Message))
		return jobcontainer.ExplainSystemd(w.plan.Image.Reference, err)
	}
	return fate(p, jobContainer)
}

// startError is the reason of a container whose first process could not be started (containerd, pkg/cri).
const startError = "StartError"

// stuck is why a container will not run; nil if it may. The reasons are the kubelet's
// (pkg/kubelet/images, pkg/kubelet/kuberuntime).
func (w *waiting) stuck(s corev1.ContainerStatus) error {
	if t := s.State.Terminated; t != nil && t.ExitCode != 0 && s.Name == installContainer {
		return fault.Systemf("the agent could not be installed from image %s (kubernetes.agent_image): exit code %d, %s", s.Image, t.ExitCode, fault.Brief(t.Message))
	} else if t != nil && t.ExitCode != 0 && s.Name == imageContainer {
		return fault.Jobf("no process starts in image %s: exit code %d, %s", w.plan.Image.Reference, t.ExitCode, fault.Brief(t.Reason+" "+t.Message))
	}
	if s.State.Waiting == nil {
		return nil
	}
	text := fault.Brief(s.State.Waiting.Message)
	switch reason := s.State.Waiting.Reason; reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError":
		return w.pullFailed(s.Name, reason, text)
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return fault.Systemf("the node cannot make container %s of the pod: %s: %s", s.Name, reason, text)
	}
	return nil
}

// absent are parts of the messages of registries about an image that is not there, or not for this job.
var absent = []string{"not found", "manifest unknown", "name unknown", "denied", "unauthorized", "authorization failed", "does not exist", "403 Forbidden", "401 Unauthorized"}

// pullFailed says whose fault it is that an image does not come.
func (w *waiting) pullFailed(container, reason, text string) error {
	if container == installContainer {
		return fault.Systemf("the nodes cannot pull the agent's image %s: %s: push it there, or correct kubernetes.agent_image or kubernetes.image_pull_secrets", w.backend.Config.AgentImage, text)
	}
	if container == helperContainer {
		return w.helperPullFailed(reason, text)
	}
	image := w.imageOf(container)
	switch {
	case reason == "ErrImageNeverPull":
		return fault.Jobf("image %s is not on the node, and the pull policy is never", image)
	case reason == "InvalidImageName":
		return fault.Jobf("image %s is not the name of an image: %s", image, text)
	}
	for _, part := range absent {
		if strings.Contains(text, part) {
			return fault.Jobf("image %s cannot be pulled: %s: correct its name, or give the job credentials for its registry (DOCKER_AUTH_CONFIG)", image, text)
		}
	}
	return fault.Systemf("the node cannot pull image %s: %s", image, text)
}

// imageOf is the image of a container of the job.
func (w *waiting) imageOf(container string) string {
	for n, s := range w.plan.Services {
		if container == serviceContainer(n) {
			return s.Image.Reference
		}
	}
	return w.plan.Image.Reference
}

// late is why the pod does not run in time, from its status and the events about it.
func (w *waiting) late(ctx context.Context) error {
	limit := w.backend.startTime()
	if reason := unscheduled(w.last); reason != "" {
		return fault.Systemf("no node took pod %s within %s: %s: add nodes, lower resources.*, or raise kubernetes.start_timeout", w.last.Name, limit, fault.Brief(reason))
	}
	events, err := w.backend.API.Warnings(ctx, w.last.UID)
	if err != nil {
		w.backend.Log.Debugf("The events of the pod are not known: %v", err)
	}
	if len(events) > 0 {
		return fault.Systemf("pod %s did not run within %s: %s", w.last.Name, limit, fault.Brief(events[len(events)-1]))
	}
	return fault.Systemf("pod %s did not run within %s (kubernetes.start_timeout); kubectl describe pod shows what it waits for", w.last.Name, limit)
}
