package kubernetes

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
)

// helperContainer is the name of the helper container in the pod. A pod gets it if the job may need it: it cannot be
// added once the job's image has been inspected.
const helperContainer = "helper"

// helper describes the helper container. It has the job's limits and reserves nothing, because it works only while the
// job container does not. The job container has the name of the agent's socket.
func (b *Backend) helper(p job.Plan) (corev1.Container, error) {
	request, err := jobcontainer.RequestWord(agent.InitRequest{Pod: true, Unasked: true})
	if err != nil {
		return corev1.Container{}, err
	}
	c := corev1.Container{
		Name: helperContainer, Image: p.Helper.Image.Reference, ImagePullPolicy: pullPolicy(p.Helper.Image),
		Command: literal(append(agent.Command("init"), request)...), WorkingDir: "/",
		EnvFrom:      fromSecret(environmentSecret(p.Identity)),
		Env:          []corev1.EnvVar{{Name: "HOME", Value: jobcontainer.HelperHome}},
		VolumeMounts: b.mounts(p), Resources: resourcesOf(p.Resources), SecurityContext: rights(p.Hardening, &root),
	}
	for name := range c.Resources.Limits {
		c.Resources.Requests[name] = resource.Quantity{}
	}
	return c, nil
}

// startHelper waits for the helper container if the job needs it, and returns what the run stage has to know of it, or
// nil.
func (b *Backend) startHelper(ctx context.Context, p job.Plan, running *corev1.Pod, found agent.InspectResponse, main job.Environment) (*job.Environment, error) {
	why := p.Helper.Why(found)
	if why == "" {
		return nil, nil
	}
	defer observe.Begin(ctx, observe.Helper)()
	jobcontainer.ReportHelper(b.Log, p.Helper, why)
	if err := b.awaitHelper(ctx, p, running); errors.Is(err, errNoImage) && p.Helper.Optional {
		jobcontainer.ReportNoHelper(b.Log, err)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	id, setup := address(running.Name, helperContainer), jobcontainer.HelperSetup(p, found)
	request := agent.InspectRequest{Setup: setup, Mounts: wantedMounts(containerOf(running, helperContainer))}
	r, err := b.Inside(id, owner.Process{}, jobcontainer.HelperName).Inspect(ctx, request, p.InspectTimeout)
	if err := jobcontainer.CheckHelper(b.Log, p.Helper, r, err); err != nil {
		return nil, err
	}
	return &job.Environment{
		Container: id, Shell: r.Shell, ANSIQuoting: r.ANSIQuoting, User: setup.User, WorkingDir: "/",
		Enforced: main.Enforced, TMPDIR: main.TMPDIR, Limits: main.Limits,
	}, nil
}

// errNoImage means that the node did not get an image.
var errNoImage = errors.New("the node does not get it")

// awaitHelper waits until the helper container runs.
func (b *Backend) awaitHelper(ctx context.Context, p job.Plan, pod *corev1.Pod) error {
	limited, cancel := context.WithTimeoutCause(ctx, b.startTime(), errLate)
	defer cancel()
	w := waiting{backend: b, plan: p, last: pod}
	err := b.API.WatchPod(limited, pod.Name, func(now *corev1.Pod) (bool, error) {
		if now == nil || now.UID != pod.UID {
			return false, fault.Systemf("pod %s was deleted while it started", pod.Name)
		}
		w.last = now
		if why := fate(now, helperContainer); why != nil {
			return false, why
		}
		s := statusOf(now, helperContainer)
		if s == nil {
			return false, nil
		}
		return s.State.Running != nil, w.stuck(*s)
	})
	if errors.Is(err, errLate) || errors.Is(context.Cause(limited), errLate) {
		return w.late(ctx)
	}
	return err
}

// helperPullFailed is why the node does not get the helper's image. The administrator chose it.
func (w *waiting) helperPullFailed(reason, text string) error {
	return fault.Systemf("image %s (helper.image): %w: %s", w.plan.Helper.Image.Reference, errNoImage, fault.Brief(fmt.Sprintf("%s: %s", reason, text)))
}
