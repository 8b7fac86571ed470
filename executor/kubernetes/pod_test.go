package kubernetes

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

func TestPod(t *testing.T) {
	b, _ := inMemory(t)
	b.Config.NodeSelector, b.Config.Labels = []string{"kind=ci"}, []string{"team=a"}
	b.Config.Tolerations = []string{"ci=yes:NoSchedule", "gpu"}
	p := aPlan()
	p.Resources = config.Resources{CPUs: 1.5, Memory: 1 << 30}
	p.Hardening = config.Hardening{CapAdd: []string{"CAP_SYS_ADMIN"}, SecurityOpt: []string{"seccomp=unconfined"}}
	pod, err := b.pod(p, known{logins: []login{{}}})
	if err != nil {
		t.Fatal(err)
	}
	s := pod.Spec
	build := s.Containers[1]
	for what, ok := range map[string]bool{
		"a user namespace":      s.HostUsers != nil && !*s.HostUsers,
		"the runtime class":     *s.RuntimeClassName == "sysbox-runc",
		"no token":              s.AutomountServiceAccountToken != nil && !*s.AutomountServiceAccountToken,
		"a deadline":            *s.ActiveDeadlineSeconds == 24*3600,
		"no restart":            s.RestartPolicy == corev1.RestartPolicyNever,
		"the gate":              len(s.SchedulingGates) == 1,
		"the host's name":       s.Hostname == "runner-x",
		"a node":                s.NodeSelector["kind"] == "ci",
		"the credentials":       s.ImagePullSecrets[0].Name == pod.Name+"-registry",
		"tolerations":           s.Tolerations[0].Value == "yes" && s.Tolerations[1].Operator == corev1.TolerationOpExists && s.Tolerations[1].Effect == "",
		"the agent comes first": s.Containers[0].Image == "agent:1" && s.Containers[0].Lifecycle.PostStart.Exec.Command[2] == "installed" && build.Name == jobContainer && s.Containers[2].Image == "debian:12",
		"the image's own user":  s.Containers[2].SecurityContext.RunAsUser == nil,
		"root":                  *build.SecurityContext.RunAsUser == 0,
		"rights":                build.SecurityContext.Capabilities.Add[0] == "SYS_ADMIN" && build.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeUnconfined,
		"limits":                build.Resources.Limits.Cpu().MilliValue() == 1500 && build.Resources.Limits.Memory().Value() == 1<<30,
		"the policy":            build.ImagePullPolicy == corev1.PullAlways,
		"no environment":        len(build.Env) == 0,
		"our labels":            pod.Labels[job.LabelName] == p.Identity.Name() && pod.Labels["team"] == "a",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, s)
		}
	}
	for name, value := range pod.Labels {
		if wrong := slices.Concat(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)); len(wrong) > 0 {
			t.Errorf("label %s=%s: %s", name, value, wrong)
		}
	}
	for _, name := range []string{pod.Name, environmentSecret(p.Identity), registrySecret(p.Identity)} {
		if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	all := labels(pod.ObjectMeta)
	for name, value := range p.Identity.Labels(job.RoleBuild) {
		if all[name] != value {
			t.Errorf("%s is %q", name, all[name])
		}
	}
}

func TestStorageVolumes(t *testing.T) {
	b, _ := inMemory(t)
	b.Class = "xfs"
	for backend, ok := range map[string]func(corev1.Volume) bool{
		EmptyDir: func(v corev1.Volume) bool { return v.EmptyDir.SizeLimit.Value() == 1<<30 && v.EmptyDir.Medium == "" },
		storage.Tmpfs: func(v corev1.Volume) bool {
			return v.EmptyDir.SizeLimit.Value() == 1<<30 && v.EmptyDir.Medium == corev1.StorageMediumMemory
		},
		Ephemeral: func(v corev1.Volume) bool {
			s := v.Ephemeral.VolumeClaimTemplate.Spec
			return *s.StorageClassName == "xfs" && s.Resources.Requests.Storage().Value() == 1<<30
		},
	} {
		p := aPlan()
		p.Volume.Backend = backend
		if v := b.storage(p); !ok(v) {
			t.Errorf("%s: %+v", backend, v)
		}
	}
}

func TestPullPolicies(t *testing.T) {
	for policy, want := range map[image.Policy]corev1.PullPolicy{image.Always: corev1.PullAlways, image.IfNotPresent: corev1.PullIfNotPresent, image.Never: corev1.PullNever} {
		if got := pullPolicy(image.Request{Policies: []image.Policy{policy}}); got != want {
			t.Errorf("%s: %s", policy, got)
		}
	}
}

// reference is what the kubelet replaces in a command (k8s.io/kubernetes, third_party/forked/golang/expansion).
var reference = regexp.MustCompile(`\$\$|\$\([^)]*\)`)

// The agent gets the text of the job's author unchanged. In a command the kubelet replaces $(NAME) by the value of a
// variable. That value may be a secret, and every user of the cluster can read the command.
func TestHostileCommandsAreLiteral(t *testing.T) {
	b, _ := inMemory(t)
	p := aPlan()
	p.Entrypoint = []string{"/bin/sh", "-c", "echo $(CI_JOB_TOKEN) $$(CI_JOB_TOKEN) $$$x $"}
	p.Storage.TMPDIR = "/tmp/$(CI_JOB_TOKEN)"
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	command := pod.Spec.Containers[1].Command
	seen := reference.ReplaceAllStringFunc(command[len(command)-1], func(text string) string {
		if text == "$$" {
			return "$"
		}
		return "SECRET"
	})
	var got agent.InitRequest
	if err := json.Unmarshal([]byte(seen), &got); err != nil || !slices.Equal(got.Entrypoint, p.Entrypoint) {
		t.Errorf("%q, %v", got.Entrypoint, err)
	}
	install := pod.Spec.Containers[0].Command
	if seen := reference.FindAllString(strings.ReplaceAll(install[len(install)-1], "$$", ""), -1); len(seen) > 0 {
		t.Errorf("%q", seen)
	}
}

// No variable of the job is in its pod.
func TestHostileSecretsAreNotInThePod(t *testing.T) {
	b, _ := inMemory(t)
	p := aPlan()
	p.Environment = []string{"CI_JOB_TOKEN=glcbt-secret", "CI_PROJECT_ID=2"}
	p.Image.Credentials = image.Sources{Payload: []image.Login{{Registry: "docker.io", Username: "ci", Password: "glcbt-secret"}}}
	pod, err := b.pod(p, known{logins: []login{{}}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(pod)
	if err != nil || strings.Contains(string(text), "glcbt-secret") {
		t.Errorf("%s, %v", text, err)
	}
	s := b.environments(p, pod)[0]
	if string(s.Data["CI_JOB_TOKEN"]) != "glcbt-secret" || string(s.Data["STORAGE_DRIVER"]) != "vfs" {
		t.Errorf("%q", slices.Collect(maps.Keys(s.Data)))
	}
}

// A variable's name or size must not make the cluster refuse the job with an error that nobody understands.
func TestHostileVariables(t *testing.T) {
	b, _ := inMemory(t)
	p := aPlan()
	p.Environment = []string{"a b=1", "..=2", "=3", "ok=4", strings.Repeat("x", 300) + "=5"}
	s := b.environments(p, &corev1.Pod{})[0]
	for name := range s.Data {
		if wrong := validation.IsConfigMapKey(name); len(wrong) > 0 {
			t.Errorf("%q: %s", name, wrong)
		}
	}
	if string(s.Data["ok"]) != "4" {
		t.Error(s.Data)
	}
	p.Environment = []string{"big=" + strings.Repeat("x", mostSecret)}
	if err := checkSize(b.environments(p, &corev1.Pod{})[0]); err == nil || !strings.Contains(err.Error(), "the job's variables have") {
		t.Error(err)
	}
}
