package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/imageconfig"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/readiness"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/servicelog"
)

// Services are containers of the pod beside the job container. They are not init containers that the kubelet restarts:
// a service that ends stays as it is, with its exit code and its log, as on Docker.

// serviceContainer is the name of the nth service's container in the pod.
func serviceContainer(n int) string { return fmt.Sprintf("service-%d", n) }

// serviceHost is the nth service's name for the job container, in addition to its aliases.
func serviceHost(i job.Identity, n int) string { return fmt.Sprintf("%s-s%d", i.Name(), n) }

// serviceSecret is the name of the secret with the nth service's environment.
func serviceSecret(i job.Identity, n int) string {
	return fmt.Sprintf("%s-service-%d", i.Name(), n)
}

// service describes the container of the nth service. It has the job's volumes and settings, and the rights of the job
// container but for devices.
func (b *Backend) service(p job.Plan, n int, img imageconfig.Config) (corev1.Container, error) {
	s := p.Services[n]
	user, err := userID(s.User)
	if err != nil {
		return corev1.Container{}, fmt.Errorf("service %s: %w", s.Image.Reference, err)
	}
	c := corev1.Container{
		Name: serviceContainer(n), Image: s.Image.Reference, ImagePullPolicy: pullPolicy(s.Image),
		Command: literal(s.Entrypoint...), Args: literal(s.Command...),
		EnvFrom:      fromSecret(serviceSecret(p.Identity, n)),
		VolumeMounts: b.mounts(p), Resources: resourcesOf(s.Resources), SecurityContext: rights(p.Hardening, nil),
	}
	if len(s.Entrypoint) == 1 && s.Entrypoint[0] == "" { // as on Docker
		c.Command = nil
	}
	c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup = user.uid, user.gid
	first := jobcontainer.FirstProcess{Name: service.Version(s.Image.Reference), Systemd: s.Systemd, Entrypoint: s.Entrypoint, Command: s.Command}
	return c, b.arrangeSystemd(p, first, processOf(img), &c)
}

// account is a user by numbers; nil leaves it to the image.
type account struct{ uid, gid *int64 }

// userID reads a service's user, which the kubelet takes only by number.
func userID(text string) (a account, err error) {
	if text == "" {
		return a, nil
	}
	name, group, _ := strings.Cut(text, ":")
	for part, id := range map[string]**int64{name: &a.uid, group: &a.gid} {
		if part == "" {
			continue
		}
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 {
			return account{}, fault.Jobf("the user %s is not a number, which a service in a pod of Kubernetes needs: write its user ID", fault.Quote(text))
		}
		*id = &n
	}
	return a, nil
}

// hostAliases are the names of the services in the pod, where all are at the loopback address. Names that Kubernetes does
// not know as a host's, such as those with "_", are left out.
func (b *Backend) hostAliases(p job.Plan) []corev1.HostAlias {
	if len(p.Services) == 0 {
		return nil
	}
	local := corev1.HostAlias{IP: "127.0.0.1", Hostnames: []string{service.JobName}}
	for n, s := range p.Services {
		local.Hostnames = append(local.Hostnames, serviceHost(p.Identity, n))
		for _, name := range s.Aliases {
			if len(validation.IsDNS1123Subdomain(name)) > 0 {
				b.Log.Debugf("Service %s has no name %s: Kubernetes takes lower-case letters, digits, \"-\" and \".\".", s.Image.Reference, fault.Quote(name))
				continue
			}
			local.Hostnames = append(local.Hostnames, name)
		}
	}
	return []corev1.HostAlias{local}
}

// services are the services of a job as later stages see them.
func services(p job.Plan, k known) ([]job.Running, error) {
	var all []job.Running
	for n, s := range p.Services {
		img := k.image(n + 1)
		ports, _, err := service.Ports(slices.Concat(img.Env, s.Environment), img.Ports)
		if err != nil {
			return nil, err
		}
		all = append(all, job.Running{
			ID: address(p.Identity.Name(), serviceContainer(n)), Name: serviceHost(p.Identity, n), Image: service.Version(s.Image.Reference), Label: s.Label, Ports: ports,
		})
	}
	return all, nil
}

// serviceEnvironment is that of the nth service. It has no more of the job's variables than on Docker.
func serviceEnvironment(p job.Plan, n int) []string {
	return jobcontainer.Environment(p.Services[n].Environment, p.Storage, p.Services[n].User)
}

// awaitServices waits until the services are ready.
func (b *Backend) awaitServices(ctx context.Context, p job.Plan, running []job.Running, id string) error {
	w := readiness.Waiter{Job: b.inside(id), Timeout: p.ServiceTimeout, Ended: b.serviceEnds, Log: b.Log}
	return w.Await(ctx, running, b.serviceLog(p.Identity))
}

// serviceLog opens the log of a job's services.
func (b *Backend) serviceLog(i job.Identity) *servicelog.Log {
	return servicelog.Open(b.Dir.Job(i.Name()), b, b.Log)
}

// serviceEnds waits until a service has ended.
func (b *Backend) serviceEnds(ctx context.Context, s job.Running) bool {
	for ctx.Err() == nil {
		if state, err := b.Service(ctx, s.ID); err == nil && !state.Running {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(endEvery):
		}
	}
	return false
}

// Service returns the state of a service's container.
func (b *Backend) Service(ctx context.Context, id string) (servicelog.State, error) {
	pod, container, _ := strings.Cut(id, "/")
	p, err := b.API.Pod(ctx, pod)
	if errdefs.IsNotFound(err) {
		return servicelog.State{Gone: true}, nil
	} else if err != nil {
		return servicelog.State{}, err
	}
	t := terminated(p, container)
	if t == nil {
		return servicelog.State{Running: true}, nil
	}
	return servicelog.State{ExitCode: int(t.ExitCode), OutOfMemory: t.Reason == "OOMKilled", Lived: t.FinishedAt.Sub(t.StartedAt.Time)}, nil
}

// Tail returns the end of a container's log, at most this many lines.
func (b *Backend) Tail(ctx context.Context, id string, lines int) (string, error) {
	pod, container, _ := strings.Cut(id, "/")
	return b.API.Logs(ctx, pod, container, int64(lines))
}

// Lines calls each for every line of a container's log that is newer than since.
func (b *Backend) Lines(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error {
	pod, container, _ := strings.Cut(id, "/")
	err := b.API.EachLog(ctx, pod, container, since, follow, each)
	if errdefs.IsNotFound(err) || ctx.Err() != nil {
		return nil
	}
	return err
}
