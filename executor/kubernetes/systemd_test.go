package kubernetes

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/sysbox"
)

// A container that boots systemd has exactly the command that Sysbox recognises, systemd's configuration, and a second
// path for each mount below /run.
func TestSystemd(t *testing.T) {
	b, _ := inMemory(t)
	yes := true
	p := aPlan()
	p.Systemd, p.Entrypoint, p.User = &yes, []string{"/start"}, "1000"
	p.Folders.Cache = "/run/cache"
	p.Services = []job.Service{{Image: image.Request{Reference: "db:1", Policies: []image.Policy{image.Always}}, Systemd: &yes, User: "70", Command: []string{"db"}}, {Image: image.Request{Reference: "redis:1", Policies: []image.Policy{image.Always}}}}
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{jobContainer, serviceContainer(0)} {
		c := containerOf(pod, name)
		where := map[string]corev1.VolumeMount{}
		for _, m := range c.VolumeMounts {
			where[m.MountPath] = m
		}
		for what, ok := range map[string]bool{
			"its command":       systemdRuns(c) && c.Args == nil && strings.HasPrefix(c.Command[1], "systemd.mask="),
			"root":              *c.SecurityContext.RunAsUser == 0 && *c.SecurityContext.RunAsGroup == 0,
			"its configuration": where[sysbox.SystemConfigFile].SubPath == "settings/systemd.conf" && where[sysbox.UserConfigFile].ReadOnly,
			"a second path":     where[sysbox.Spare("/run/cache")].Name == cacheVolume && len(where) == len(c.VolumeMounts),
			"its signal":        strings.Contains(c.Lifecycle.PreStop.Exec.Command[2], "kill -37 1"),
		} {
			if !ok {
				t.Errorf("%s: %s: %+v", name, what, c)
			}
		}
		n := slices.IndexFunc(wantedMounts(c), func(m agent.Mount) bool { return m.Target == "/run/cache" })
		if n < 0 || wantedMounts(c)[n].Spare != sysbox.Spare("/run/cache") {
			t.Errorf("%s: %+v", name, wantedMounts(c))
		}
	}
	if c := containerOf(pod, serviceContainer(1)); systemdRuns(c) || c.Lifecycle != nil || strings.Contains(c.VolumeMounts[0].MountPath, "systemd") {
		t.Errorf("%+v", c)
	}
	installed := pod.Spec.Containers[0].Command
	if !strings.Contains(installed[len(installed)-1], `"settings/systemd.conf"`) {
		t.Error(installed)
	}
}

// An image without /sbin/init is the job's fault.
func TestSystemdIsNotInTheImage(t *testing.T) {
	for message, c := range map[string]struct {
		class fault.Class
		want  string
	}{
		`failed to create containerd task: OCI runtime create failed: exec: "/sbin/init": stat /sbin/init: no such file or directory`: {fault.Job, "image debian:12 has no /sbin/init"},
		"failed to create containerd task: no space left on device":                                                                   {fault.System, "the first process of the job's container does not start: failed to create"},
	} {
		yes := true
		b, _ := inMemory(t, func(p *corev1.Pod) {
			ends(jobContainer, startError, 128)(p)
			p.Status.ContainerStatuses[0].State.Terminated.Message = message
		})
		p := aPlan()
		p.Systemd = &yes
		if _, err := b.Prepare(t.Context(), p, aJournal(t, p)); fault.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v", err)
		}
	}
}
