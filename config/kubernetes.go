package config

import (
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/lazyregexp"
)

// Kubernetes configures the pods of jobs, for the backend kubernetes.
type Kubernetes struct {
	// Kubeconfig is an absolute path; "" uses the service account of the executor's own pod.
	Kubeconfig string `toml:"kubeconfig"`
	// Namespace has the jobs' pods and secrets.
	Namespace string `toml:"namespace"`
	// RuntimeClass is the pods' runtimeClassName; "" leaves it out.
	RuntimeClass string `toml:"runtime_class"`
	// AgentImage is the image with the agent that `make image` builds.
	AgentImage string `toml:"agent_image"`
	// ServiceAccount is that of the pods; "" is the namespace's default, without a token.
	ServiceAccount string `toml:"service_account"`
	// MountToken gives the job's containers the token of ServiceAccount.
	MountToken bool `toml:"mount_token"`
	// NodeSelector, Labels and Annotations list name=value.
	NodeSelector []string `toml:"node_selector"`
	Labels       []string `toml:"labels"`
	Annotations  []string `toml:"annotations"`
	// Tolerations list "key=value:effect", "key:effect" or "key"; see [ParseToleration].
	Tolerations []string `toml:"tolerations"`
	// PriorityClass is the pods' priorityClassName; "" leaves it out.
	PriorityClass string `toml:"priority_class"`
	// ImagePullSecrets are the names of secrets in the namespace, in addition to the job's own credentials.
	ImagePullSecrets []string `toml:"image_pull_secrets"`
	// Volumes list "kind:name:path", for the job container, the services and the helper; see [ParsePodVolume].
	Volumes []string `toml:"volumes"`
	// PodTemplate is added to each pod; see [ParsePodTemplate].
	PodTemplate string `toml:"pod_template"`
	// ReadImages reads the configurations of the jobs' images from their registries.
	ReadImages bool `toml:"read_images"`
	// StartTimeout bounds the time from the creation of a pod until its containers run, pulls included.
	StartTimeout Duration `toml:"start_timeout"`
	// Deadline is the pods' activeDeadlineSeconds: the kubelet ends a job that nobody ends.
	Deadline Duration `toml:"deadline"`
}

func defaultKubernetes() Kubernetes {
	return Kubernetes{
		Namespace: "gitlab-jobs", RuntimeClass: "sysbox-runc",
		NodeSelector: []string{}, Labels: []string{}, Annotations: []string{}, Tolerations: []string{}, ImagePullSecrets: []string{},
		MountToken: true, Volumes: []string{},
		StartTimeout: Duration(10 * time.Minute), Deadline: Duration(24 * time.Hour),
	}
}

var (
	objectName = lazyregexp.New(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)                 // RFC 1123
	metaName   = lazyregexp.New(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`) // of a label or an annotation
	metaValue  = lazyregexp.New(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)                                // of a label
)

func (c *Config) checkKubernetes(k *checker) {
	s := &c.Kubernetes
	if s.Kubeconfig != "" {
		k.absolute("kubernetes.kubeconfig", s.Kubeconfig, "/etc/gitlab-sysbox-executor/kubeconfig")
	}
	k.object("kubernetes.namespace", s.Namespace, "gitlab-jobs")
	for key, name := range map[string]string{
		"kubernetes.runtime_class": s.RuntimeClass, "kubernetes.service_account": s.ServiceAccount, "kubernetes.priority_class": s.PriorityClass,
		"storage.class": c.Storage.Class,
	} {
		if name != "" {
			k.object(key, name, "gitlab-jobs")
		}
	}
	for _, name := range s.ImagePullSecrets {
		k.object("kubernetes.image_pull_secrets", name, "registry")
	}
	if strings.ContainsFunc(s.AgentImage, blank) || s.AgentImage == "" && c.Backend == BackendKubernetes {
		k.bad("kubernetes.agent_image", `%q is not the name of an image; write for example "registry.example.com/gitlab-sysbox-executor-agent:1.0" (make image builds it)`, s.AgentImage)
	}
	label := func(name, value string) string {
		switch {
		case strings.Contains(name, "gitlab-sysbox-executor"):
			return "has a part of the executor's own labels, which mark what a cleanup removes"
		case !metaName().MatchString(name):
			return "is not the name of a label"
		case !metaValue().MatchString(value):
			return "has a value that no label can have: at most 63 letters, digits, \"-\", \"_\" and \".\""
		}
		return ""
	}
	k.pairs("kubernetes.node_selector", s.NodeSelector, "example.com/sysbox=true", label)
	k.pairs("kubernetes.labels", s.Labels, "team=ci", label)
	k.pairs("kubernetes.annotations", s.Annotations, "example.com/team=ci", func(name, _ string) string { return label(name, "") })
	for _, text := range s.Tolerations {
		if _, ok := ParseToleration(text); !ok {
			k.bad("kubernetes.tolerations", `%q is not key, key:effect or key=value:effect, with the effect NoSchedule, PreferNoSchedule or NoExecute; write for example "example.com/sysbox:NoSchedule"`, text)
		}
	}
	c.checkPodVolumes(k)
	c.checkPodTemplate(k)
	k.positive("kubernetes.start_timeout", s.StartTimeout, "10m")
	if k.positive("kubernetes.deadline", s.Deadline, "24h") && time.Duration(s.Deadline) < time.Second {
		k.bad("kubernetes.deadline", `%s is less than a second; write for example "24h"`, s.Deadline)
	}
}

// object requires the name of an object of Kubernetes.
func (k *checker) object(key, name, example string) {
	if !isObject(name) {
		k.bad(key, `%q is not the name of an object of Kubernetes: lower-case letters, digits, "-" and "."; write for example %q`, name, example)
	}
}

// Toleration is a parsed entry of Kubernetes.Tolerations. An empty value matches every value, an empty effect every
// effect.
type Toleration struct{ Key, Value, Effect string }

// ParseToleration parses "key=value:effect", "key:effect" or "key".
func ParseToleration(text string) (t Toleration, ok bool) {
	rest, effect, hasEffect := strings.Cut(text, ":")
	key, value, hasValue := strings.Cut(rest, "=")
	t = Toleration{key, value, effect}
	switch {
	case !metaName().MatchString(key), !metaValue().MatchString(value), hasValue && (value == "" || !hasEffect):
		return t, false
	}
	return t, !hasEffect || slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect)
}
