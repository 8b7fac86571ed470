// Package kubernetes tests the backend kubernetes on a real cluster of one node (scripts/kubernetes.sh), with runc and a
// user namespace for each pod in the place of Sysbox.
package kubernetes

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"gitlab-sysbox-executor/integration/harness"
)

// world is what all tests share.
var world struct {
	repo, dir, binary string
	cluster           string // the cluster's folder
	env               map[string]string
	admin             *rest.Config
	client            *http.Client // of the administrator
}

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("GSX_KUBERNETES") != "1" && flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("None of the tests on a cluster runs: `make test-kubernetes` starts one.")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	before := machine()
	stop, err := begin()
	if err == nil {
		code = m.Run()
	}
	if stop != nil {
		err = errors.Join(err, stop())
	}
	if err == nil {
		if after := machine(); after != before {
			err = fmt.Errorf("the cluster left something behind\nbefore:\n%s\nafter:\n%s", before, after)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration/kubernetes:", err)
		return 1
	}
	return code
}

// machine is what a cluster changes on a machine.
func machine() string {
	script := `awk '{print $2}' /proc/mounts | grep -e gsx-kubernetes -e /run/netns/cni- | sort
ls -d /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods 2>/dev/null
ip -o link show gsxk0 2>/dev/null | awk '{print $2}'
ip -o link show master gsxk0 2>/dev/null | awk '{print $2}'
for s in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do echo "$s $(cat /proc/sys/$s)"; done
ls -d /var/tmp/gsx-kubernetes /var/lib/kubelet /var/log/containers /var/lib/cni /run/netns 2>/dev/null
pgrep -af "[g]sx-kubernetes/"`
	out, _ := exec.Command("bash", "-c", script).CombinedOutput()
	return string(out)
}

// begin starts the cluster, builds the product and imports the images.
func begin() (stop func() error, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	world.repo = filepath.Dir(filepath.Dir(here))
	script := filepath.Join(world.repo, "scripts", "kubernetes.sh")
	place, err := harness.Command(time.Minute, script, "place")
	if err != nil {
		return nil, err
	}
	world.cluster = strings.TrimSpace(string(place))
	began := time.Now()
	stop = func() error {
		began := time.Now()
		_, err := harness.Command(5*time.Minute, script, "stop", world.cluster)
		fmt.Printf("The cluster was taken down in %s.\n", time.Since(began).Round(time.Second))
		return errors.Join(err, os.RemoveAll(world.dir))
	}
	if _, err := harness.Command(time.Hour, script, "start", world.cluster); err != nil {
		return stop, err
	}
	fmt.Printf("The cluster is up after %s; runc with a user namespace for each pod stands in for Sysbox.\n", time.Since(began).Round(time.Second))
	out, err := harness.Command(time.Minute, script, "env", world.cluster)
	if err != nil {
		return stop, err
	}
	world.env = map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), "=")
		world.env[name] = strings.Trim(value, "'")
	}
	if world.admin, err = clientcmd.BuildConfigFromFlags("", world.env["KUBECONFIG_ADMIN"]); err != nil {
		return stop, err
	}
	if world.client, err = rest.HTTPClientFor(world.admin); err != nil {
		return stop, err
	}
	if world.dir, err = os.MkdirTemp("/var/tmp", "gsx-pods-"); err != nil {
		return stop, err
	}
	world.binary = filepath.Join(world.dir, "gitlab-sysbox-executor")
	if _, err := harness.Command(10*time.Minute, filepath.Join(world.repo, "scripts", "build.sh"), world.binary); err != nil {
		return stop, err
	}
	return stop, images()
}

// The images of the jobs. They are on the node, and in no registry.
const (
	buildahImage = "docker.io/gsx-test/buildah:latest"
	// builderImage is the same with a user and a folder of its own.
	builderImage = "docker.io/gsx-test/builder:latest"
	// plainImage has neither Buildah nor a user.
	plainImage = "docker.io/gsx-test/bookworm:latest"
	// noGitImage lacks git.
	noGitImage = "docker.io/gsx-test/no-git:latest"
	// systemdImage has systemd.
	systemdImage = "docker.io/gsx-test/systemd:latest"
)

func images() error {
	for _, i := range []struct {
		recipe, name string
		flags        []string
	}{
		{"buildah", buildahImage, nil},
		{"buildah", builderImage, []string{"-user", "builder", "-dir", "/srv", "-env", "OF_THE_IMAGE=yes", "-entrypoint", "/nonexistent"}},
		{"bookworm", plainImage, nil},
		{"no-git", noGitImage, nil},
		{"systemd", systemdImage, nil},
	} {
		out, err := harness.Command(20*time.Minute, filepath.Join(world.repo, "scripts", "image.sh"), i.recipe)
		if err != nil {
			return err
		}
		tarball := strings.TrimSpace(string(out))
		// Beside the tarball, whose name has a hash of its recipe.
		archive := fmt.Sprintf("%s.%s.oci.tar", strings.TrimSuffix(tarball, ".tar.gz"), path.Base(strings.TrimSuffix(i.name, ":latest")))
		pack := append([]string{"-C", world.repo, "run", "./integration/kubernetes/pack", "-name", i.name}, i.flags...)
		if _, err := harness.Command(10*time.Minute, cmp.Or(os.Getenv("GO"), "go"), append(pack, tarball, archive)...); err != nil {
			return err
		}
		// With unpacking, for which the first pod would wait otherwise.
		if _, err := harness.Command(5*time.Minute, "sh", "-c", world.env["CTR"]+" images import "+archive); err != nil {
			return err
		}
	}
	return nil
}

// get reads an object or a list as the administrator.
func get(t testing.TB, path string, into any) []byte {
	t.Helper()
	response, err := world.client.Get(world.admin.Host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %.500s", path, response.Status, err, text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

// send creates or changes an object as the administrator.
func send(t testing.TB, method, path, object string) {
	t.Helper()
	request, err := http.NewRequest(method, world.admin.Host+path, strings.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := world.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v %s", method, path, response.Status, err, text)
	}
}

// jobs is the path of the namespace of the jobs.
func jobs(kind string) string { return "/api/v1/namespaces/" + world.env["NAMESPACE"] + "/" + kind }

func pods(t testing.TB) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	get(t, jobs("pods"), &list)
	return list.Items
}

// objects are the names of all objects that jobs can have, by kind.
func objects(t testing.TB) (all []string) {
	t.Helper()
	for _, kind := range []string{"pods", "secrets", "configmaps", "persistentvolumeclaims", "leases"} {
		var list struct {
			Items []struct {
				Metadata struct{ Name string }
			}
		}
		path := jobs(kind)
		if kind == "leases" {
			path = strings.Replace(path, "/api/v1/", "/apis/coordination.k8s.io/v1/", 1)
		}
		get(t, path, &list)
		for _, o := range list.Items {
			if o.Metadata.Name != "kube-root-ca.crt" {
				all = append(all, kind+" "+o.Metadata.Name)
			}
		}
	}
	return all
}
