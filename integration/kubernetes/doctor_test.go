package kubernetes

import (
	"strings"
	"testing"
)

// doctor knows the cluster. The executor's account may not read nodes and classes; an administrator may.
func TestDoctor(t *testing.T) {
	p := newPlace(t)
	out, err := p.try("doctor", "--runner-config", "/nonexistent")
	for _, want := range []string{
		"ok      api server", "Kubernetes 1.36.3 at https://127.0.0.1:26443, namespace gitlab-jobs", "ok      rights",
		"note    runtime class", "the executor's account may not read it", "note    storage class", "and no leftovers", "no real job was run",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%v: no %q in\n%s", err, want, out)
		}
	}
	out, err = p.try("doctor", "--runner-config", "/nonexistent", "--kubeconfig", world.env["KUBECONFIG_ADMIN"])
	for _, want := range []string{"warning runtime class  the handler of runtime class gsx-standin is runc, not sysbox-runc", "ok      nodes          1 of 1 take jobs"} {
		if !strings.Contains(out, want) {
			t.Errorf("%v: no %q in\n%s", err, want, out)
		}
	}
	out, _ = newPlace(t, `kubernetes.runtime_class = "absent"`).try("doctor", "--kubeconfig", world.env["KUBECONFIG_ADMIN"])
	if !strings.Contains(out, "error   runtime class  the cluster has no runtime class absent") {
		t.Error(out)
	}
	out, _ = newPlace(t, `kubernetes.namespace = "default"`).try("doctor")
	if !strings.Contains(out, "error   rights         the executor's account may not create pods, ") {
		t.Error(out)
	}
}
