package kubernetes

import (
	"context"
	"path"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/sysbox"
)

// systemdFile is the name of systemd's configuration beside the settings of container tools.
const systemdFile = "systemd.conf"

// systemdRuns reports whether a container boots systemd.
func systemdRuns(c *corev1.Container) bool {
	return len(c.Command) > 0 && c.Command[0] == sysbox.Init
}

// arrangeSystemd makes a container boot systemd if the job, the service or the image asks for it. The agent is not the
// first process then.
func (b *Backend) arrangeSystemd(p job.Plan, f jobcontainer.FirstProcess, img jobcontainer.ImageProcess, c *corev1.Container) error {
	args, wanted, err := f.BootsSystemd(b.Log, p, img)
	if err != nil || !wanted {
		return err
	}
	c.Command, c.Args = literal(sysbox.InitArgs(args)...), nil
	c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup = &root, &root
	for _, target := range []string{sysbox.SystemConfigFile, sysbox.UserConfigFile} {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: agentVolume, SubPath: path.Join(settingsFolder, systemdFile), MountPath: target, ReadOnly: true})
	}
	for _, m := range c.VolumeMounts {
		if spare := sysbox.Spare(m.MountPath); spare != "" {
			m.MountPath = spare
			c.VolumeMounts = append(c.VolumeMounts, m)
		}
	}
	// systemd ignores TERM, which is the signal of the kubelet.
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "kill -" + sysbox.StopNumber + " 1"}}}}
	return nil
}

// examineServices inspects the services that boot systemd. The service log reports a service that has ended.
func (b *Backend) examineServices(ctx context.Context, p job.Plan, pod *corev1.Pod) error {
	for n, s := range p.Services {
		c := containerOf(pod, serviceContainer(n))
		if !systemdRuns(c) {
			continue
		}
		name, id := service.Version(s.Image.Reference), address(pod.Name, c.Name)
		e := jobcontainer.Examination{Container: "the container of service " + name, Image: name, Service: name, Systemd: p.SystemdTimeout, Log: b.Log}
		request := agent.LookRequest{SystemdTimeout: p.SystemdTimeout, Mounts: wantedMounts(c)}
		r, err := b.Inside(id, owner.Process{}, e.Container).Look(ctx, request, p.InspectTimeout)
		if err != nil && b.Ends(ctx, id, endEvery) {
			continue
		}
		if r.SystemdFault != "" {
			b.Log.Warnf("Service %s: %s; the job goes on.", name, r.SystemdFault)
		}
		if err := e.Check(agent.InspectResponse{Error: r.Error, Systemd: r.Systemd, MountFaults: r.MountFaults}, err); err != nil {
			return err
		}
	}
	return nil
}

// containerOf returns a container of the job by its name.
func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for n := range pod.Spec.Containers {
		if pod.Spec.Containers[n].Name == name {
			return &pod.Spec.Containers[n]
		}
	}
	return &corev1.Container{Name: name}
}

// wantedMounts are the mounts that the agent has to find in a container.
func wantedMounts(c *corev1.Container) (wanted []agent.Mount) {
	for _, m := range c.VolumeMounts {
		w := agent.Mount{Target: m.MountPath}
		if systemdRuns(c) {
			w.Spare = sysbox.Spare(m.MountPath)
		}
		wanted = append(wanted, w)
	}
	return wanted
}
