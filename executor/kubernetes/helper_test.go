package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
)

// withHelper is a plan whose image may lack git.
func withHelper() job.Plan {
	p := aPlan()
	p.Helper = job.Helper{Mode: job.HelperAuto, NeedsGit: true, Image: image.Request{Reference: "helper:1", Policies: []image.Policy{image.IfNotPresent}}}
	return p
}

func TestHelperContainer(t *testing.T) {
	b, _ := inMemory(t)
	p := withHelper()
	p.Resources = config.Resources{CPUs: 2, Memory: 1 << 30}
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	build, c := containerOf(pod, jobContainer), containerOf(pod, helperContainer)
	var first agent.InitRequest
	if err := json.Unmarshal([]byte(c.Command[len(c.Command)-1]), &first); err != nil || !first.Unasked || !first.Pod {
		t.Errorf("%q, %v", c.Command, err)
	}
	for what, ok := range map[string]bool{
		"its image":         c.Name == helperContainer && c.Image == "helper:1" && c.ImagePullPolicy == corev1.PullIfNotPresent,
		"the job's volumes": len(c.VolumeMounts) == len(build.VolumeMounts),
		"the environment":   c.EnvFrom[0].SecretRef.Name == environmentSecret(p.Identity) && c.Env[0].Name == "HOME",
		"the limits":        c.Resources.Limits.Memory().Value() == 1<<30 && c.Resources.Limits.Cpu().Value() == 2,
		"no reservation":    c.Resources.Requests.Memory().IsZero() && c.Resources.Requests.Cpu().IsZero() && len(c.Resources.Requests) == 2,
		"root":              *c.SecurityContext.RunAsUser == 0,
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
	for name, mode := range map[string]job.Helper{"job": {Mode: job.HelperJob, NeedsGit: true}, "not needed": {Mode: job.HelperAuto}} {
		p.Helper = mode
		if pod, err := b.pod(p, known{}); err != nil || len(pod.Spec.Containers) != 3 {
			t.Errorf("%s: %v, %+v", name, err, pod.Spec.Containers)
		}
	}
}

// The job's container does not wait for a helper. If its image does not come, only a job that needs it fails, and one with
// the default image goes on.
func TestHelperWithoutImage(t *testing.T) {
	p := withHelper()
	wanted := job.Environment{}
	for name, c := range map[string]struct {
		found    agent.InspectResponse
		optional bool
		want     string
	}{
		"git is there": {agent.InspectResponse{Git: true}, false, ""},
		"optional":     {agent.InspectResponse{}, true, ""},
		"chosen":       {agent.InspectResponse{}, false, "image helper:1 (helper.image): the node does not get it: ErrImagePull: not found"},
	} {
		b, m := inMemory(t)
		made, err := b.pod(p, known{})
		if err != nil {
			t.Fatal(err)
		}
		running(made)
		waits(helperContainer, "ErrImagePull", "not found")(made)
		m.pods[made.Name] = made
		if _, err := b.await(t.Context(), p, made); err != nil {
			t.Errorf("%s: the pod: %v", name, err)
		}
		p.Helper.Optional = c.optional
		e, err := b.startHelper(t.Context(), p, made, c.found, wanted)
		if e != nil || c.want == "" && err != nil || c.want != "" && (fault.ClassOf(err) != fault.System || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// The kubelet finds the job's credentials for each of its images.
func TestCredentialsForAllImages(t *testing.T) {
	b, _ := inMemory(t)
	p := withHelper()
	from := image.Sources{AuthConfig: `{"auths": {"docker.io": {"username": "hub", "password": "1"}, "registry.example.com:5000/a": {"username": "a", "password": "2"}, "registry.example.com:5000": {"username": "all", "password": "3"}}}`}
	p.Image.Credentials, p.Helper.Image.Credentials = from, from
	p.Services = []job.Service{
		{Image: image.Request{Reference: "registry.example.com:5000/a/db:1", Credentials: from}},
		{Image: image.Request{Reference: "registry.example.com:5000/b@sha256:" + strings.Repeat("0", 64), Credentials: from}},
		{Image: image.Request{Reference: "other.example.com/c", Credentials: from}},
	}
	found, err := b.credentials(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.registry(p, found, &corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Auths map[string]struct{ Username string }
	}
	if err := json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"https://index.docker.io/v1/": "hub", "registry.example.com:5000/a/db": "a", "registry.example.com:5000/b": "all"}
	if len(got.Auths) != len(want) {
		t.Errorf("%+v", got)
	}
	for key, user := range want {
		if got.Auths[key].Username != user {
			t.Errorf("%s: %+v", key, got)
		}
	}
}
