package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
)

// A template adds what an administrator expects of a pod, to the pod and to containers by their names.
func TestPodTemplate(t *testing.T) {
	b, _ := inMemory(t)
	b.Config.Tolerations, b.Config.NodeSelector = []string{"ci"}, []string{"kind=ci"}
	b.Config.PodTemplate = `
metadata:
  labels: {cost-centre: "7"}
  annotations: {example.com/scrape: "no"}
spec:
  nodeSelector: {zone: a}
  tolerations: [{key: gpu, operator: Exists}]
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 1
        podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {team: ci}}}
  dnsConfig: {options: [{name: ndots, value: "1"}]}
  securityContext: {fsGroup: 1000}
  volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Gi}}]
  containers:
  - name: build
    resources: {requests: {cpu: 500m, ephemeral-storage: 5Gi}}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
    securityContext: {procMount: Default}
  - name: service-3
    resources: {requests: {cpu: 100m}}
  - name: proxy
    image: proxy:1
`
	p := aPlan()
	p.Resources.Memory = 1 << 30
	plain, err := (&Backend{API: b.API, Dir: b.Dir, Config: config.Kubernetes{AgentImage: "agent:1", NodeSelector: b.Config.NodeSelector, Tolerations: b.Config.Tolerations}, Log: b.Log}).pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	s, build := pod.Spec, containerOf(pod, jobContainer)
	for what, ok := range map[string]bool{
		"labels":            pod.Labels["cost-centre"] == "7" && len(pod.Labels) == len(plain.Labels)+1 && pod.Annotations["example.com/scrape"] == "no",
		"the node selector": s.NodeSelector["kind"] == "ci" && s.NodeSelector["zone"] == "a",
		"tolerations":       len(s.Tolerations) == 2 && s.Tolerations[1].Key == "gpu",
		"affinity":          s.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].Weight == 1,
		"DNS":               s.DNSConfig.Options[0].Name == "ndots",
		"security":          *s.SecurityContext.FSGroup == 1000 && *build.SecurityContext.RunAsUser == 0,
		"the volume":        len(s.Volumes) == len(plain.Spec.Volumes)+1 && len(build.VolumeMounts) == len(containerOf(plain, jobContainer).VolumeMounts)+1,
		"requests":          build.Resources.Requests.StorageEphemeral().Value() == 5<<30 && build.Resources.Limits.Memory().Value() == 1<<30,
		"the containers":    len(s.Containers) == 4 && s.Containers[3].Name == "proxy",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, s)
		}
	}
}

// Whatever a template has, everything that the executor put into the pod is still there.
func TestPodTemplateOnlyAdds(t *testing.T) {
	b, _ := inMemory(t)
	p := withServices()
	p.Resources.Memory = 1 << 30
	pod := func() map[string]any {
		made, err := b.pod(p, known{})
		if err != nil {
			t.Fatal(err)
		}
		return asMap(t, made)
	}
	before := pod()
	for _, text := range []string{
		"spec: {hostUsers: false, containers: [{name: build, env: [{name: A, value: b}]}]}", "spec: {hostAliases: [{ip: 127.0.0.1, hostnames: [x]}]}",
		"spec: {containers: [{name: service-0, resources: {limits: {cpu: 1}}}, {name: agent, resources: {limits: {cpu: 1}}}]}", `{"metadata": {"labels": {"a": "b"}}}`,
	} {
		b.Config.PodTemplate = text
		made, err := b.pod(p, known{})
		if err != nil {
			if strings.Contains(text, "hostAliases") && strings.Contains(err.Error(), "hostAliases[127.0.0.1].hostnames is set") {
				continue
			}
			t.Fatal(text, err)
		}
		contains(t, text, before, asMap(t, made))
	}
	for text, want := range map[string]string{
		"spec: {hostUsers: true}":                                                         "spec.hostUsers is set",
		"spec: {containers: [{name: build, image: other:1}]}":                             "spec.containers[build].image is set",
		"spec: {containers: [{name: build, resources: {limits: {memory: 2Gi}}}]}":         "spec.containers[build].resources.limits.memory is set",
		"spec: {containers: [{name: build, securityContext: {runAsUser: 1}}]}":            "spec.containers[build].securityContext.runAsUser is set",
		"spec: {containers: [{name: build, volumeMounts: [{name: x, mountPath: /gsx}]}]}": "spec.containers[build].volumeMounts[/gsx].name is set",
		"metadata: {labels: {io.gitlab-sysbox-executor.name: x}}":                         "metadata.labels.io.gitlab-sysbox-executor.name is set",
		"spec: {restartPolicy: Always}":                                                   "spec.restartPolicy is set",
		"spec: {nope: 1}":                                                                 "nope",
	} {
		b.Config.PodTemplate = text
		if _, err := b.pod(p, known{}); err == nil || fault.ClassOf(err) != fault.System || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func asMap(t *testing.T, o any) (m map[string]any) {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contains wants everything of a value in another.
func contains(t *testing.T, at string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name, value := range w {
			contains(t, at+"."+name, value, g[name])
		}
	case []any:
		g, _ := got.([]any)
		if len(g) < len(w) {
			t.Errorf("%s: %v", at, got)
			return
		}
		for n := range w {
			contains(t, at, w[n], g[n])
		}
	default:
		if want != got {
			t.Errorf("%s: %v, want %v", at, got, want)
		}
	}
}
