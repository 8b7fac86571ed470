package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Registry is the registry of all tests of a package; it ends with them.
var Registry = sync.OnceValues(func() (*registry.Registry, error) {
	dir, err := os.MkdirTemp(World.Dir, "registry-")
	if err != nil {
		return nil, err
	}
	return registry.Start(World.Repo, dir)
})

// InRegistry puts a test image into the registry as name:latest, with some bytes
// more that no engine has, and returns the registry. The engine forgets it.
func InRegistry(t testing.TB, name string, more int) *registry.Registry {
	t.Helper()
	r, err := Registry()
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, more)
	rand.Read(noise)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "noise", Mode: 0o644, Size: int64(more)}); err != nil {
		t.Fatal(err)
	}
	w.Write(noise)
	w.Close()
	ref := r.Address + "/" + name + ":latest"
	if err := World.Engine.AddLayer(t.Context(), Image(t, "bookworm"), ref, archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := World.Engine.Push(t.Context(), ref, registry.User, registry.Password); err != nil {
		t.Fatal(err)
	}
	if err := World.Engine.RemoveImage(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return r
}

// RegistryJob is a job in an image of a registry.
func RegistryJob(t testing.TB, ref string, policies ...string) runner.Job {
	t.Helper()
	j := Job(t, "bookworm", "echo ran in $CI_JOB_IMAGE")
	j.Image = runner.Image{Name: ref, PullPolicies: policies}
	return j
}

// WantRefusedOnce plays a job that must fail by its own fault in the one attempt that
// there is, and returns prepare's log.
func WantRefusedOnce(t *testing.T, p *Place, j runner.Job, says string) string {
	t.Helper()
	r := p.Runner.Play(j)
	prepares := 0
	for _, c := range r.Calls {
		if c.Stage == "prepare" {
			prepares++
		}
	}
	if r.Outcome != runner.ScriptFailure || prepares != 1 {
		t.Fatalf("%d attempts; %s", prepares, r)
	}
	log := r.Log.String()
	said := 0
	for _, line := range r.Log.Lines() {
		if strings.Contains(line.Text, says) {
			said++
		}
	}
	if said != 1 {
		t.Errorf("%d lines with %q in\n%s", said, says, log)
	}
	if strings.Contains(log, "retrying") {
		t.Errorf("pulled more than once:\n%s", log)
	}
	return log
}

// ForgetImage takes the name of an image from the engine at the test's end.
func ForgetImage(t testing.TB, ref string) {
	t.Cleanup(func() {
		if err := World.Engine.RemoveImage(context.Background(), ref); err != nil {
			t.Error(err)
		}
	})
}

// BasicAuth is the registry's user with a password, as a configuration of Docker's has them.
func BasicAuth(password string) string {
	return base64.StdEncoding.EncodeToString([]byte(registry.User + ":" + password))
}

// AuthConfig is a configuration of Docker's with these credentials for a server.
func AuthConfig(server, password string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, server, BasicAuth(password))
}

// CredentialHelper plays a docker-credential-... program that knows one server.
func CredentialHelper(server string) string {
	return fmt.Sprintf(`case $1 in
list) echo '{"%[1]s": "%[2]s"}' ;;
get) read -r server
	if [ "$server" = '%[1]s' ]; then echo '{"ServerURL": "%[1]s", "Username": "%[2]s", "Secret": "%[3]s"}'
	else echo 'credentials not found in native keychain'; exit 1; fi ;;
esac
`, server, registry.User, registry.Password)
}
