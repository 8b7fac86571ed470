package kubernetes

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
)

// withServices is a plan with two services.
func withServices() job.Plan {
	p := aPlan()
	p.Environment = []string{"CI_JOB_TOKEN=secret"}
	p.Services = []job.Service{
		{
			Image: image.Request{Reference: "postgres:16", Policies: []image.Policy{image.IfNotPresent}}, Aliases: []string{"postgres", "my__db", "Db"}, Label: "postgres",
			Environment: []string{"HEALTHCHECK_TCP_PORT=5432", "A=$(B)"}, Command: []string{"-c", "x=$(CI_JOB_TOKEN)"}, User: "70:71",
		},
		{Image: image.Request{Reference: "redis", Policies: []image.Policy{image.Always}}, Aliases: []string{"redis"}, Entrypoint: []string{""}},
	}
	return p
}

func TestServicesOfAPod(t *testing.T) {
	b, _ := inMemory(t)
	p := withServices()
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	all := pod.Spec.Containers
	if len(all) != 5 || all[1].Name != jobContainer {
		t.Fatalf("%d containers, first %s", len(all), all[0].Name)
	}
	first, second := all[3], all[4]
	for what, ok := range map[string]bool{
		"names":             slices.Equal(pod.Spec.HostAliases[0].Hostnames, []string{"build", pod.Name + "-s0", "postgres", pod.Name + "-s1", "redis"}),
		"the image's entry": first.Command == nil && second.Command == nil,
		"a literal command": slices.Equal(first.Args, []string{"-c", "x=$$(CI_JOB_TOKEN)"}),
		"the user":          *first.SecurityContext.RunAsUser == 70 && *first.SecurityContext.RunAsGroup == 71 && second.SecurityContext.RunAsUser == nil,
		"the policies":      first.ImagePullPolicy == corev1.PullIfNotPresent && second.ImagePullPolicy == corev1.PullAlways,
		"the volumes":       len(first.VolumeMounts) == len(all[1].VolumeMounts),
	} {
		if !ok {
			t.Errorf("%s: %+v", what, pod.Spec)
		}
	}
	secrets := b.environments(p, pod)
	if len(secrets) != 3 || string(secrets[1].Data["A"]) != "$(B)" || secrets[1].Data["CI_JOB_TOKEN"] != nil || string(secrets[2].Data["STORAGE_DRIVER"]) != "vfs" {
		t.Errorf("%+v", secrets)
	}
	running, err := services(p, known{})
	if err != nil || len(running) != 2 || !slices.Equal(running[0].Ports, []int{5432}) || running[0].Name != pod.Name+"-s0" || running[1].Image != "redis:latest" {
		t.Errorf("%+v, %v", running, err)
	}
}

// A service's state is its container's. The pod runs when all of them have started.
func TestServiceStates(t *testing.T) {
	b, m := inMemory(t)
	p := withServices()
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	m.pods[pod.Name] = pod
	id := address(pod.Name, serviceContainer(0))
	if s, err := b.Service(t.Context(), id); err != nil || !s.Running {
		t.Errorf("%+v, %v", s, err)
	}
	w := waiting{backend: b, plan: p, last: pod}
	running(pod)
	if done, err := w.see(pod); done || err != nil {
		t.Errorf("without services: %t, %v", done, err)
	}
	ended := corev1.ContainerStatus{Name: serviceContainer(0), State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "OOMKilled"}}}
	begun := corev1.ContainerStatus{Name: serviceContainer(1), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, ended, begun)
	if done, err := w.see(pod); !done || err != nil {
		t.Errorf("with services: %t, %v", done, err)
	}
	if s, err := b.Service(t.Context(), id); err != nil || s.Running || s.ExitCode != 3 || !s.OutOfMemory {
		t.Errorf("%+v, %v", s, err)
	}
	delete(m.pods, pod.Name)
	if s, err := b.Service(t.Context(), id); err != nil || !s.Gone {
		t.Errorf("%+v, %v", s, err)
	}
	pull := w.pullFailed(serviceContainer(1), "ErrImagePull", "not found")
	if !strings.Contains(pull.Error(), "image redis cannot be pulled") {
		t.Error(pull)
	}
}
