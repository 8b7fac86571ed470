package kubernetes

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"gitlab-sysbox-executor/integration/harness"
)

// The tools are modules of their own, because they bring many others.
const (
	kustomize = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"
	helm      = "helm.sh/helm/v3/cmd/helm@v3.21.4"
)

// tool runs one of them in the repository and returns its output.
func tool(t *testing.T, module string, args ...string) string {
	t.Helper()
	out, err := harness.Command(30*time.Minute, cmp.Or(os.Getenv("GO"), "go"), append([]string{"-C", world.repo, "run", module}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// object is one of a manifest.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	text       string
}

// objectsOf reads the documents of a manifest.
func objectsOf(t *testing.T, text string) (all []object) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if o.text = document; o.Kind != "" {
			all = append(all, o)
		}
	}
	return all
}

// path is the object's at the API server.
func (o object) path() string {
	prefix := "/apis/" + o.APIVersion
	if o.APIVersion == "v1" {
		prefix = "/api/v1"
	}
	if o.Metadata.Namespace != "" {
		prefix += "/namespaces/" + o.Metadata.Namespace
	}
	return prefix + "/" + strings.ToLower(o.Kind) + "s/" + o.Metadata.Name
}

// apply makes an object or changes it as the administrator: with the API server's checks only, if dry is set. Fields that
// it does not know are errors.
func (o object) apply(t *testing.T, dry bool) {
	t.Helper()
	query := "?fieldManager=test&force=true&fieldValidation=Strict"
	if dry {
		query += "&dryRun=All"
	}
	request, err := http.NewRequest(http.MethodPatch, world.admin.Host+o.path()+query, strings.NewReader(o.text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/apply-patch+yaml")
	response, err := world.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode >= 300 {
		t.Errorf("%s %s: %s %s", o.Kind, o.Metadata.Name, response.Status, text)
	}
}

// delete removes an object, if it is there.
func (o object) delete(t *testing.T) {
	t.Helper()
	request, err := http.NewRequest(http.MethodDelete, world.admin.Host+o.path()+"?propagationPolicy=Background", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := world.client.Do(request); err != nil {
		t.Error(err)
	} else {
		response.Body.Close()
	}
}

// rulesOf are the rules of the only role of a manifest.
func rulesOf(t *testing.T, all []object) []rule {
	t.Helper()
	var role struct {
		Rules []rule
	}
	n := slices.IndexFunc(all, func(o object) bool { return o.Kind == "Role" })
	if n < 0 {
		t.Fatal("no role")
	}
	if err := yaml.Unmarshal([]byte(all[n].text), &role); err != nil {
		t.Fatal(err)
	}
	return role.Rules
}

// The manifests for kustomize and the Helm chart are valid: the API server accepts each object. Their rights are those of
// deploy/kubernetes.yaml, each of which TestRightsAreNeeded tries.
func TestDeploy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(world.repo, "deploy", "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := rulesOf(t, objectsOf(t, string(text)))
	var namespace object // dry runs need it, too
	for _, o := range objectsOf(t, tool(t, kustomize, "build", "deploy")) {
		if o.Kind == "Namespace" && o.Metadata.Name == "gitlab-runner" {
			namespace = o
		}
	}
	namespace.apply(t, false)
	t.Cleanup(func() { namespace.delete(t) })

	var version struct{ GitVersion string }
	get(t, "/version", &version)
	// Without a cluster helm assumes a Kubernetes of its own, which may be older than the chart permits.
	chart := []string{"deploy/chart", "--kube-version", version.GitVersion, "--namespace", "gitlab-runner", "--set", "runner.token=glrt-test", "--set", "jobs.namespace=gitlab-jobs"}
	t.Logf("%s", tool(t, helm, append([]string{"lint", "--strict"}, chart...)...))
	for name, manifest := range map[string]string{
		"kustomize":             tool(t, kustomize, "build", "deploy"),
		"helm":                  tool(t, helm, append([]string{"template", "gsx"}, chart...)...),
		"helm without a runner": tool(t, helm, "template", "gsx", "deploy/chart", "--kube-version", version.GitVersion, "--namespace", "gitlab-runner", "--set", "runner.enabled=false", "--set", "jobs.create=false"),
	} {
		t.Run(name, func(t *testing.T) {
			all := objectsOf(t, manifest)
			kinds := map[string]bool{}
			for _, o := range all {
				kinds[o.Kind] = true
				o.apply(t, true)
			}
			for _, kind := range []string{"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "CronJob"} {
				if !kinds[kind] {
					t.Errorf("no %s", kind)
				}
			}
			if kinds["StatefulSet"] != (name != "helm without a runner") {
				t.Error("the Runner")
			}
			if got := rulesOf(t, all); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("rights %v, want %v", got, want)
			}
		})
	}
	if out, err := harness.Command(10*time.Minute, cmp.Or(os.Getenv("GO"), "go"), "-C", world.repo, "run", helm, "template", "gsx", "deploy/chart", "--kube-version", version.GitVersion); err == nil || !strings.Contains(err.Error()+string(out), "token") {
		t.Errorf("a chart without a token: %v %s", err, out)
	}
}

// The CronJob of gc runs in the cluster with the account of the Runner: it finds the job that runs, and keeps it.
func TestGCInTheCluster(t *testing.T) {
	runnerImage(t)
	address := reachable(t)
	p := newPlace(t)
	s := p.prepared(t, job("true"))

	manifest := tool(t, kustomize, "build", "deploy")
	manifest = strings.ReplaceAll(manifest, "registry.example.com/gitlab-runner-sysbox:1", runnerName)
	host, port, _ := strings.Cut(address, ":")
	// The cluster of the tests has no addresses of services.
	manifest = strings.Replace(manifest, "            - gc\n", fmt.Sprintf("            - gc\n            env: [{name: KUBERNETES_SERVICE_HOST, value: %q}, {name: KUBERNETES_SERVICE_PORT, value: %q}]\n", host, port), 1)
	for _, o := range objectsOf(t, manifest) {
		if o.Kind == "StatefulSet" || o.Kind == "Role" || o.Metadata.Name == "gitlab-jobs" {
			continue // there are no registry, no storage class and no GitLab; the others are there
		}
		o.apply(t, false)
		if o.Kind == "RoleBinding" || o.Kind == "Namespace" {
			t.Cleanup(func() { o.delete(t) })
		}
	}
	var cron struct {
		Spec struct {
			JobTemplate struct {
				Spec any `json:"spec"`
			} `json:"jobTemplate"`
		}
	}
	get(t, "/apis/batch/v1/namespaces/gitlab-runner/cronjobs/gitlab-sysbox-executor-gc", &cron)
	spec, err := yaml.Marshal(map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]string{"name": "gc-now", "namespace": "gitlab-runner"}, "spec": cron.Spec.JobTemplate.Spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	objectsOf(t, string(spec))[0].apply(t, false)
	var state struct {
		Status struct{ Succeeded, Failed int }
	}
	await(t, "the job of gc", func() bool {
		get(t, "/apis/batch/v1/namespaces/gitlab-runner/jobs/gc-now", &state)
		return state.Status.Succeeded+state.Status.Failed > 0
	})
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	get(t, "/api/v1/namespaces/gitlab-runner/pods", &list)
	log := string(get(t, "/api/v1/namespaces/gitlab-runner/pods/"+list.Items[0].Metadata.Name+"/log", nil))
	if state.Status.Succeeded != 1 || !strings.Contains(log, "0 removed, 1 kept") {
		t.Errorf("%+v\n%s", state, log)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}

// runnerName is the image with the executor. It has no GitLab Runner. With the tag "latest" a kubelet would always pull it.
const runnerName = "docker.io/gsx-test/runner:1"

// runnerImage puts the image on the node.
func runnerImage(t *testing.T) {
	t.Helper()
	program, err := os.ReadFile(world.binary)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	w := tar.NewWriter(z)
	for _, dir := range []string{"usr/", "usr/local/", "usr/local/bin/", "tmp/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "usr/local/bin/gitlab-sysbox-executor", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tarball, archive := filepath.Join(t.TempDir(), "runner.tar.gz"), filepath.Join(t.TempDir(), "runner.oci.tar")
	if err := os.WriteFile(tarball, layer.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{cmp.Or(os.Getenv("GO"), "go"), "-C", world.repo, "run", "./integration/kubernetes/pack", "-name", runnerName, tarball, archive},
		{"sh", "-c", world.env["CTR"] + " images import " + archive},
	} {
		if _, err := harness.Command(10*time.Minute, command[0], command[1:]...); err != nil {
			t.Fatal(err)
		}
	}
}

// reachable is an address of the API server that pods can reach: it listens only for processes of this machine.
func reachable(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(world.admin.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	return harness.BreaksBefore(t, net.JoinHostPort("10.94.0.1", port), "tcp", net.JoinHostPort("127.0.0.1", port)).Address
}
