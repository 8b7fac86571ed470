package kubernetes

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// given makes a Secret, a ConfigMap and a service account for the volumes of jobs, until the test's end.
func given(t *testing.T) (lines []string) {
	t.Helper()
	for kind, object := range map[string]string{
		"secrets":         fmt.Sprintf(`{"metadata": {"name": "given"}, "data": {"word": %q}}`, base64.StdEncoding.EncodeToString([]byte("of the secret"))),
		"configmaps":      `{"metadata": {"name": "given"}, "data": {"word": "of the map"}}`,
		"serviceaccounts": `{"metadata": {"name": "given"}}`,
	} {
		send(t, "POST", jobs(kind), object)
		t.Cleanup(func() { send(t, "DELETE", jobs(kind)+"/given", "") })
	}
	return []string{
		`kubernetes.volumes = ["secret:given:/run/secrets/given", "configmap:given:/etc/given", "token:vault:/var/run/secrets/vault"]`, `kubernetes.service_account = "given"`,
	}
}

// readGiven is a script that reads what given made.
var readGiven = []string{
	"cat /run/secrets/given/word; echo", "cat /etc/given/word; echo",
	// The middle part of a token is JSON, without the padding that base64 wants. The second has an audience of its own.
	`for t in kubernetes.io/serviceaccount vault; do cut -d. -f2 /var/run/secrets/$t/token | tr _- /+ | { base64 -d 2>/dev/null || true; } | grep -o '"aud":\["[^"]*"\]\|"sub":"[^"]*' | sort | tr -d '"' | paste -sd' '; done`,
	"cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo", "head -1 /var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
	"touch /run/secrets/given/x 2>/dev/null || echo read-only",
}

func wantGiven(t *testing.T, text string) {
	t.Helper()
	for _, want := range []string{
		"of the secret\n", "of the map\n", "aud:[https://kubernetes] sub:system:serviceaccount:gitlab-jobs:given\n", "aud:[vault] sub:system:serviceaccount:gitlab-jobs:given\n",
		"\ngitlab-jobs\n", "-----BEGIN CERTIFICATE-----", "\nread-only\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The volumes and the template of the configuration are in jobs and services, also for users other than root.
func TestVolumesAndTemplate(t *testing.T) {
	p := newPlace(t, append(given(t), `network.dns = ["192.0.2.53"]`, `network.extra_hosts = ["there.example.com:192.0.2.7"]`, `hardening.sysctls = ["net.ipv4.tcp_keepalive_time=321"]`, `kubernetes.pod_template = """
metadata: {annotations: {example.com/cost: "7"}}
spec:
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [gsx-node]}]}]}}}
  dnsConfig: {options: [{name: ndots, value: "1"}]}
  volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 16Mi}}]
  containers:
  - name: build
    resources: {requests: {ephemeral-storage: 10Mi}}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
"""`)...)
	j := job(append(readGiven, "cat /etc/resolv.conf", "getent hosts there.example.com", "cat /proc/sys/net/ipv4/tcp_keepalive_time", "stat -f -c 'scratch %T' /scratch", "cat /builds/service")...)
	j.Image.Name = builderImage
	j.Services = []runner.Image{serve("first", "7001", "cat /run/secrets/given/word >/builds/service")}
	s := p.prepared(t, j)
	pod := pods(t)[0]
	if pod.Annotations["example.com/cost"] != "7" || pod.Spec.Containers[1].Resources.Requests.StorageEphemeral().Value() != 10<<20 {
		t.Errorf("%+v", pod)
	}
	call := s.RunScript(t.Context(), runner.StageBuild, strings.Join(j.Script, "\n"))
	if call.Err != nil {
		t.Fatal(call)
	}
	text := call.Output.String()
	wantGiven(t, text)
	for _, want := range []string{"nameserver 192.0.2.53", "options ndots:1", "192.0.2.7", "\n321\n", "scratch tmpfs", "of the secret"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
	// A setting that contradicts the job or another key fails the job, as the system's fault.
	r := newPlace(t, `kubernetes.pod_template = "spec: {containers: [{name: build, resources: {limits: {memory: 1Gi}}}]}"`, `resources.memory = "512MiB"`).Play(job("true"))
	if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), "kubernetes.pod_template: spec.containers[build].resources.limits.memory is set") {
		t.Error(r)
	}
}

// systemd boots as the first process, and what is mounted below /run and /var/run is still visible.
func TestSystemdAndMountedSecrets(t *testing.T) {
	p := newPlace(t, given(t)...)
	j := job(append(readGiven, "echo first: $(cat /proc/1/comm)", "systemctl is-system-running --wait || true", "systemd-run --wait --pipe sh -c 'echo unit TMPDIR=$TMPDIR DRIVER=$STORAGE_DRIVER'", "stat -c 'mode %a' $TMPDIR")...)
	j.Image.Name = systemdImage
	j.Variables = append(j.Variables, runner.Var("EXECUTOR_SYSTEMD", "true"))
	r := p.succeed(t, j)
	wantGiven(t, r.Log.String())
	for _, want := range []string{"Booting systemd as the container's first process", "first: systemd\n", "unit TMPDIR=/gsx/tmp DRIVER=vfs\n", "mode 1777"} {
		if !strings.Contains(r.Log.String(), want) {
			t.Errorf("no %q in\n%s", want, r.Log)
		}
	}
	t.Logf("prepare %s, cleanup %s\n%s", r.Call("prepare").Duration, r.Call("cleanup").Duration, r.Log)
	p.wantNothing(t)
	j.Image.Name = noGitImage
	if r := p.Play(j); r.Outcome != runner.ScriptFailure || !strings.Contains(r.Log.String(), "has no /sbin/init") {
		t.Error(r)
	}
	p.wantNothing(t)
}
