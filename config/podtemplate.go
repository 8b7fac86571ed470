package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"gitlab-sysbox-executor/lazyregexp"
)

// PodTemplate is what Kubernetes.PodTemplate adds to the pods of jobs.
type PodTemplate = corev1.PodTemplateSpec

// ParsePodTemplate parses the YAML or JSON text of a pod template. It refuses unknown fields, null, and the directives of
// a strategic merge patch ("$patch"): a template only adds.
func ParsePodTemplate(text string) (*PodTemplate, error) {
	t := new(PodTemplate)
	if strings.TrimSpace(text) == "" {
		return t, nil
	}
	var all any
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		return nil, plainError(err)
	}
	if _, isMap := all.(map[string]any); !isMap {
		return nil, errors.New("it is not a map with metadata and spec")
	}
	if err := onlyAdds("", all); err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict([]byte(text), t); err != nil {
		return nil, plainError(err)
	}
	return t, nil
}

// plainError is an error of the YAML library in one line.
func plainError(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "error unmarshaling JSON: ")
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// onlyAdds refuses values that remove something from what they are merged with.
func onlyAdds(at string, value any) error {
	switch v := value.(type) {
	case nil:
		return fmt.Errorf("%s is null: a template only adds to the pod", strings.TrimPrefix(at, "."))
	case map[string]any:
		for name, more := range v {
			if strings.HasPrefix(name, "$") {
				return fmt.Errorf("%s has the directive %s: a template only adds to the pod", cmp.Or(strings.TrimPrefix(at, "."), "it"), name)
			}
			if err := onlyAdds(at+"."+name, more); err != nil {
				return err
			}
		}
	case []any:
		for n, more := range v {
			if err := onlyAdds(fmt.Sprintf("%s[%d]", at, n), more); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownContainer matches the names of the containers that the executor puts into a pod, ownVolume those of its volumes.
var (
	ownContainer = lazyregexp.New(`^(agent|image|build|helper|service-[0-9]+)$`)
	ownVolume    = lazyregexp.New(`^(agent|facts|storage|builds|cache|token|volume-[0-9]+)$`)
)

// checkPodTemplate refuses what a template must not add. What the executor itself sets differs between jobs: the merge
// refuses a change of it, too.
func (c *Config) checkPodTemplate(k *checker) {
	const key = "kubernetes.pod_template"
	t, err := ParsePodTemplate(c.Kubernetes.PodTemplate)
	if err != nil {
		k.bad(key, "%v", err)
		return
	}
	m := t.ObjectMeta
	m.Labels, m.Annotations = nil, nil
	if !equalJSON(m, metav1.ObjectMeta{}) {
		k.bad(key, "metadata may have labels and annotations, and nothing else")
	}
	for _, pairs := range []map[string]string{t.Labels, t.Annotations} {
		for name := range pairs {
			if strings.Contains(name, "gitlab-sysbox-executor") {
				k.bad(key, "%s has a part of the executor's own labels, which mark what a cleanup removes", name)
			}
		}
	}
	c.checkTemplateSpec(k, key, &t.Spec)
	for _, list := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for n := range list {
			c.checkTemplateContainer(k, key, &list[n])
		}
	}
}

// checkTemplateSpec checks the fields of the pod.
func (c *Config) checkTemplateSpec(k *checker, key string, s *corev1.PodSpec) {
	const sets, shares = "the executor sets it", "it would take the job's isolation away"
	for _, f := range []struct {
		name string
		set  bool
		why  string
	}{
		{"hostUsers", s.HostUsers != nil, "every pod has a user namespace of its own"},
		{"hostNetwork", s.HostNetwork, shares},
		{"hostPID", s.HostPID, shares},
		{"hostIPC", s.HostIPC, shares},
		{"shareProcessNamespace", s.ShareProcessNamespace != nil, "the agent has to be the first process of its container"},
		{"nodeName", s.NodeName != "", "the scheduler chooses the node; write nodeSelector or affinity"},
		{"ephemeralContainers", len(s.EphemeralContainers) > 0, "a new pod can have none"},
		{"restartPolicy", s.RestartPolicy != "", sets},
		{"schedulingGates", len(s.SchedulingGates) > 0, sets},
		{"enableServiceLinks", s.EnableServiceLinks != nil, sets},
		{"hostname", s.Hostname != "", "write container.hostname"},
		{"activeDeadlineSeconds", s.ActiveDeadlineSeconds != nil, "write kubernetes.deadline"},
		{"terminationGracePeriodSeconds", s.TerminationGracePeriodSeconds != nil, sets},
		{"serviceAccountName", s.ServiceAccountName != "" || s.DeprecatedServiceAccount != "", "write kubernetes.service_account"},
		{"automountServiceAccountToken", s.AutomountServiceAccountToken != nil, "write kubernetes.mount_token"},
		{"runtimeClassName", s.RuntimeClassName != nil, "write kubernetes.runtime_class"},
		{"priorityClassName", s.PriorityClassName != "", "write kubernetes.priority_class"},
	} {
		if f.set {
			k.bad(key, "spec.%s is not possible: %s", f.name, f.why)
		}
	}
	for _, v := range s.Volumes {
		switch {
		case ownVolume().MatchString(v.Name):
			k.bad(key, "the volume %s has the name of one of the executor's; choose another", v.Name)
		case v.HostPath != nil && !c.Hardening.AllowUnsafe:
			k.bad(key, "the volume %s shows the node's folder %s to jobs; remove it, or write hardening.allow_unsafe = true if every job may do so", v.Name, v.HostPath.Path)
		}
	}
}

// checkTemplateContainer checks a container of the template, one of the executor's or a further one.
func (c *Config) checkTemplateContainer(k *checker, key string, o *corev1.Container) {
	own := ownContainer().MatchString(o.Name)
	s := o.SecurityContext
	if s == nil {
		s = new(corev1.SecurityContext)
	}
	if s.Privileged != nil && *s.Privileged {
		k.bad(key, "container %s is privileged, which Sysbox refuses and a job does not need", o.Name)
	}
	if !own {
		if o.Image == "" {
			k.bad(key, "container %q is none of the executor's (agent, build, image, helper, service-0, service-1 and so on) and has no image", o.Name)
		}
		return
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"image", o.Image != ""}, {"imagePullPolicy", o.ImagePullPolicy != ""}, {"command", len(o.Command) > 0}, {"args", len(o.Args) > 0},
		{"workingDir", o.WorkingDir != ""}, {"restartPolicy", o.RestartPolicy != nil}, {"lifecycle", o.Lifecycle != nil},
		{"stdin", o.Stdin || o.StdinOnce || o.TTY},
		{"securityContext.runAsUser", s.RunAsUser != nil || s.RunAsGroup != nil || s.RunAsNonRoot != nil},
		{"securityContext.readOnlyRootFilesystem", s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem},
		{"securityContext.seccompProfile", s.SeccompProfile != nil}, {"securityContext.capabilities", s.Capabilities != nil},
	} {
		if f.set {
			k.bad(key, "%s of container %s is not possible: the job or another key of the configuration sets it", f.name, o.Name)
		}
	}
	for _, m := range o.VolumeMounts {
		if place, reason := c.taken(m.MountPath); place != "" {
			k.bad(key, "container %s: the path %q overlaps %s, which %s; choose another", o.Name, m.MountPath, place, reason)
		}
		if slices.ContainsFunc(c.Kubernetes.Volumes, func(text string) bool { v, ok := ParsePodVolume(text); return ok && v.Target == m.MountPath }) {
			k.bad(key, "container %s: the path %q is one of kubernetes.volumes, too; keep one", o.Name, m.MountPath)
		}
	}
}

func equalJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
