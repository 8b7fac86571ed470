package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/registry"
	"gitlab-sysbox-executor/integration/runner"
)

// theRegistry serves all tests; it ends with them.
var theRegistry = sync.OnceValues(func() (*registry.Registry, error) {
	dir, err := os.MkdirTemp(world.dir, "registry-")
	if err != nil {
		return nil, err
	}
	return registry.Start(world.repo, dir)
})

// inRegistry puts a test image into the registry as name:latest, with some bytes
// more that no engine has, and returns the registry. The engine forgets it.
func inRegistry(t testing.TB, name string, more int) *registry.Registry {
	t.Helper()
	r, err := theRegistry()
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
	if err := world.engine.AddLayer(t.Context(), image(t, "bookworm"), ref, archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := world.engine.Push(t.Context(), ref, registry.User, registry.Password); err != nil {
		t.Fatal(err)
	}
	if err := world.engine.RemoveImage(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return r
}

// forget takes the name of an image from the engine at the test's end.
func forget(t testing.TB, ref string) {
	t.Cleanup(func() {
		if err := world.engine.RemoveImage(context.Background(), ref); err != nil {
			t.Error(err)
		}
	})
}

// pulling is a job in an image of a registry.
func pulling(t testing.TB, ref string, policies ...string) runner.Job {
	t.Helper()
	j := job(t, "bookworm", "echo ran in $CI_JOB_IMAGE")
	j.Image = runner.Image{Name: ref, PullPolicies: policies}
	return j
}

func basic(password string) string {
	return base64.StdEncoding.EncodeToString([]byte(registry.User + ":" + password))
}

func auths(server, password string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, server, basic(password))
}

// home makes a home folder of the Runner's user with a config.json, and programs
// on its PATH.
func (p *place) home(t testing.TB, config string, programs map[string]string) (dir string) {
	t.Helper()
	dir = filepath.Join(p.dir, "home")
	bin := filepath.Join(p.dir, "bin")
	for _, d := range []string{filepath.Join(dir, ".docker"), bin} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, ".docker", "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.runner.Env = append(p.runner.Env, "HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
	return dir
}

// helperScript plays a docker-credential-... program that knows one server.
func helperScript(server string) string {
	return fmt.Sprintf(`case $1 in
list) echo '{"%[1]s": "%[2]s"}' ;;
get) read -r server
	if [ "$server" = '%[1]s' ]; then echo '{"ServerURL": "%[1]s", "Username": "%[2]s", "Secret": "%[3]s"}'
	else echo 'credentials not found in native keychain'; exit 1; fi ;;
esac
`, server, registry.User, registry.Password)
}

// A private image with each source of credentials, and no secret of
// theirs anywhere but in the job's own variable.
func TestRowRegistryAuth(t *testing.T) {
	t.Parallel()
	r := inRegistry(t, "private/project/image", 1000)
	ref := r.Address + "/private/project/image:latest"
	forget(t, ref)
	const user = "$HOME/.docker/config.json"
	for _, tt := range []struct {
		name     string
		source   string // $HOME stands for the home folder
		variable string
		config   string
		programs map[string]string
		payload  []runner.Credentials
		job      string // lines of [job]
	}{
		{name: "DOCKER_AUTH_CONFIG", source: "$DOCKER_AUTH_CONFIG", variable: auths(r.Address, registry.Password)},
		{name: "DOCKER_AUTH_CONFIG for a part", source: "$DOCKER_AUTH_CONFIG",
			variable: auths(r.Address+"/private/project", registry.Password), config: auths(r.Address, "wrong")},
		{name: "auths", source: user, config: auths("http://"+r.Address+"/v1/", registry.Password)},
		{name: "credsStore", source: user, config: `{"credsStore": "test"}`,
			programs: map[string]string{"docker-credential-test": helperScript("https://" + r.Address)}},
		{name: "credHelpers", source: user, config: fmt.Sprintf(`{"auths": {%[1]q: {}}, "credHelpers": {%[1]q: "test"}}`, r.Address),
			programs: map[string]string{"docker-credential-test": helperScript(r.Address)}},
		{name: "credHelpers in DOCKER_AUTH_CONFIG", job: "credential_helpers = true", source: "$DOCKER_AUTH_CONFIG", variable: fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Address),
			programs: map[string]string{"docker-credential-test": helperScript(r.Address)}},
		{name: "payload", source: "job payload (GitLab Registry)",
			payload: []runner.Credentials{{Type: "registry", URL: r.Address, Username: registry.User, Password: registry.Password}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, settings{job: tt.job})
			home := p.home(t, tt.config, tt.programs)
			j := pulling(t, ref)
			if tt.variable != "" {
				j.Variables = append(j.Variables, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: tt.variable, Raw: true})
			}
			j.Credentials = tt.payload
			s := p.ready(t, j)
			log := s.Log.String()
			for _, line := range []string{
				"Authenticating with credentials from " + strings.ReplaceAll(tt.source, "$HOME", home),
				"Pulling docker image " + ref + " ...",
			} {
				if !s.Log.Has(line) {
					t.Errorf("no line %q in\n%s", line, log)
				}
			}
			using := regexp.MustCompile(`(?m)^Using docker image sha256:[0-9a-f]{64} for ` + regexp.QuoteMeta(ref) +
				` with digest ` + regexp.QuoteMeta(r.Address) + `/private/project/image@sha256:[0-9a-f]{64} \.\.\.$`)
			if !using.MatchString(log) {
				t.Errorf("no line %s in\n%s", using, log)
			}
			places := map[string]string{"the log": log}
			for _, file := range filesBelow(t, p.stateDir) {
				if text, err := os.ReadFile(file); err == nil {
					places[file] = string(text)
				}
			}
			container, err := command(time.Minute, "curl", "-sS", "--unix-socket", strings.TrimPrefix(world.engine.Host, "unix://"),
				"http://engine/containers/"+p.container(t, s)+"/json")
			if err != nil {
				t.Fatal(err)
			}
			if tt.variable == "" { // else the job has it as a variable
				places["the container"] = string(container)
			}
			for place, text := range places {
				for _, secret := range []string{registry.Password, basic(registry.Password)} {
					if strings.Contains(text, secret) {
						t.Errorf("the password is in %s", place)
					}
				}
			}
		})
	}
}

// refusedOnce plays a job that must fail by its own fault in the one attempt that
// there is, and returns prepare's log.
func refusedOnce(t *testing.T, p *place, j runner.Job, says string) string {
	t.Helper()
	r := p.runner.Play(j)
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

// A wrong password fails once, clearly, without three attempts; so
// does what the registry does not have.
func TestRowRegistryAuthRefused(t *testing.T) {
	t.Parallel()
	r := inRegistry(t, "refused/image", 1000)
	for _, tt := range []struct{ name, image, password, says string }{
		{"wrong password", "refused/image", "wr0ng-passw0rd", "(the credentials are from $DOCKER_AUTH_CONFIG)"},
		{"no password", "refused/image", "", "no credentials were found for it; DOCKER_AUTH_CONFIG can hold some"},
		{"missing tag", "refused/image:nope", registry.Password, "not found"},
		{"missing image", "refused/nope", registry.Password, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, settings{})
			p.home(t, "", nil)
			j := pulling(t, r.Address+"/"+tt.image)
			if tt.password != "" {
				j = with(j, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: auths(r.Address, tt.password), Raw: true})
			}
			log := refusedOnce(t, p, j, tt.says)
			for _, secret := range []string{tt.password, basic(tt.password)} {
				if secret != "" && strings.Contains(log, secret) {
					t.Errorf("the password is in\n%s", log)
				}
			}
		})
	}
}

// A registry that is down is retried, and with [always,
// if-not-present] the cached image is used.
func TestRowPullPolicyInOrder(t *testing.T) {
	t.Parallel()
	r := inRegistry(t, "down/image", 1000)
	way, err := registry.NewProxy(r.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	ref := way.Address + "/down/image:latest"
	forget(t, ref)
	auth := runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: auths(way.Address, registry.Password), Raw: true}

	p := newPlace(t, settings{job: `pull_policy = ["always", "if-not-present"]`})
	p.succeed(t, with(pulling(t, ref), auth))
	way.Down()
	result := p.succeed(t, with(pulling(t, ref), auth))
	for _, line := range []string{
		`Using effective pull policy of [always if-not-present] for container ` + ref,
		`Attempt #2: Trying "if-not-present" pull policy`,
		`Using locally found image version due to "if-not-present" pull policy`,
	} {
		if !result.Log.Has(line) {
			t.Errorf("no line %q in\n%s", line, result)
		}
	}
	log := result.Log.String()
	for _, part := range []string{`(attempt #1), retrying: `, `(attempt #2), retrying: `, `Failed to pull image with policy "always": `, "connection refused"} {
		if !strings.Contains(log, part) {
			t.Errorf("no %q in\n%s", part, log)
		}
	}
	if strings.Contains(log, "(attempt #3)") {
		t.Errorf("more than three tries:\n%s", log)
	}

	// Nothing but the registry can serve this one: the system's fault.
	result = p.runner.Play(with(pulling(t, ref, "always"), auth))
	if result.Outcome != runner.SystemFailure {
		t.Error(result)
	}

	// It comes back between two tries.
	s := p.configured(t, with(pulling(t, ref, "always"), auth))
	prepare := s.StartPrepare()
	for end := time.Now().Add(time.Minute); !strings.Contains(s.Log.String(), "retrying"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(s.Log)
		}
	}
	if err := way.Up(); err != nil {
		t.Fatal(err)
	}
	if call, err := prepare.Wait(time.Minute); err != nil || call.Err != nil {
		t.Error(call)
	}
}

// An outage in the middle of a pull.
func TestRowTransientPullErrors(t *testing.T) {
	t.Parallel()
	r := inRegistry(t, "outage/image", 30<<20)
	way, err := registry.NewProxy(r.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	ref := way.Address + "/outage/image:latest"
	forget(t, ref)
	p := newPlace(t, settings{})
	way.CutAfter(10<<20, 3*time.Second)
	result := p.succeed(t, with(pulling(t, ref), runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: auths(way.Address, registry.Password), Raw: true}))
	if log := result.Log.String(); !strings.Contains(log, "broke off") && !strings.Contains(log, "retrying") {
		t.Errorf("nothing is said of the outage:\n%s", log)
	}
}
