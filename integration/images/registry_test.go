package images

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A private image with each source of credentials, and no secret of
// theirs anywhere but in the job's own variable.
func TestRowRegistryAuth(t *testing.T) {
	t.Parallel()
	r := harness.InRegistry(t, "private/project/image", 1000)
	ref := r.Address + "/private/project/image:latest"
	harness.ForgetImage(t, ref)
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
		{name: "DOCKER_AUTH_CONFIG", source: "$DOCKER_AUTH_CONFIG", variable: harness.AuthConfig(r.Address, registry.Password)},
		{name: "DOCKER_AUTH_CONFIG for a part", source: "$DOCKER_AUTH_CONFIG",
			variable: harness.AuthConfig(r.Address+"/private/project", registry.Password), config: harness.AuthConfig(r.Address, "wrong")},
		{name: "auths", source: user, config: harness.AuthConfig("http://"+r.Address+"/v1/", registry.Password)},
		{name: "credsStore", source: user, config: `{"credsStore": "test"}`,
			programs: map[string]string{"docker-credential-test": harness.CredentialHelper("https://" + r.Address)}},
		{name: "credHelpers", source: user, config: fmt.Sprintf(`{"auths": {%[1]q: {}}, "credHelpers": {%[1]q: "test"}}`, r.Address),
			programs: map[string]string{"docker-credential-test": harness.CredentialHelper(r.Address)}},
		{name: "credHelpers in DOCKER_AUTH_CONFIG", job: "credential_helpers = true", source: "$DOCKER_AUTH_CONFIG", variable: fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Address),
			programs: map[string]string{"docker-credential-test": harness.CredentialHelper(r.Address)}},
		{name: "payload", source: "job payload (GitLab Registry)",
			payload: []runner.Credentials{{Type: "registry", URL: r.Address, Username: registry.User, Password: registry.Password}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Job: tt.job})
			home := p.Home(t, tt.config, tt.programs)
			j := harness.RegistryJob(t, ref)
			if tt.variable != "" {
				j.Variables = append(j.Variables, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: tt.variable, Raw: true})
			}
			j.Credentials = tt.payload
			s := p.Ready(t, j)
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
			for _, file := range harness.FilesBelow(t, p.StateDir) {
				if text, err := os.ReadFile(file); err == nil {
					places[file] = string(text)
				}
			}
			container, err := harness.Command(time.Minute, "curl", "-sS", "--unix-socket", strings.TrimPrefix(harness.World.Engine.Host, "unix://"),
				"http://engine/containers/"+p.Container(t, s)+"/json")
			if err != nil {
				t.Fatal(err)
			}
			if tt.variable == "" { // else the job has it as a variable
				places["the container"] = string(container)
			}
			for place, text := range places {
				for _, secret := range []string{registry.Password, harness.BasicAuth(registry.Password)} {
					if strings.Contains(text, secret) {
						t.Errorf("the password is in %s", place)
					}
				}
			}
		})
	}
}

// A wrong password fails once, clearly, without three attempts; so
// does what the registry does not have.
func TestRowRegistryAuthRefused(t *testing.T) {
	t.Parallel()
	r := harness.InRegistry(t, "refused/image", 1000)
	for _, tt := range []struct{ name, image, password, says string }{
		{"wrong password", "refused/image", "wr0ng-passw0rd", "(the credentials are from $DOCKER_AUTH_CONFIG)"},
		{"no password", "refused/image", "", "no credentials were found for it; DOCKER_AUTH_CONFIG can hold some"},
		{"missing tag", "refused/image:nope", registry.Password, "not found"},
		{"missing image", "refused/nope", registry.Password, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			p.Home(t, "", nil)
			j := harness.RegistryJob(t, r.Address+"/"+tt.image)
			if tt.password != "" {
				j = harness.With(j, runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(r.Address, tt.password), Raw: true})
			}
			log := harness.WantRefusedOnce(t, p, j, tt.says)
			for _, secret := range []string{tt.password, harness.BasicAuth(tt.password)} {
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
	r := harness.InRegistry(t, "down/image", 1000)
	way, err := registry.NewProxy(r.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	ref := way.Address + "/down/image:latest"
	harness.ForgetImage(t, ref)
	auth := runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(way.Address, registry.Password), Raw: true}

	p := harness.NewPlace(t, harness.Settings{Job: `pull_policy = ["always", "if-not-present"]`})
	p.Succeed(t, harness.With(harness.RegistryJob(t, ref), auth))
	way.Down()
	result := p.Succeed(t, harness.With(harness.RegistryJob(t, ref), auth))
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
	result = p.Runner.Play(harness.With(harness.RegistryJob(t, ref, "always"), auth))
	if result.Outcome != runner.SystemFailure {
		t.Error(result)
	}

	// It comes back between two tries.
	s := p.Configured(t, harness.With(harness.RegistryJob(t, ref, "always"), auth))
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
	r := harness.InRegistry(t, "outage/image", 30<<20)
	way, err := registry.NewProxy(r.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	ref := way.Address + "/outage/image:latest"
	harness.ForgetImage(t, ref)
	p := harness.NewPlace(t, harness.Settings{})
	way.CutAfter(10<<20, 3*time.Second)
	result := p.Succeed(t, harness.With(harness.RegistryJob(t, ref), runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(way.Address, registry.Password), Raw: true}))
	if log := result.Log.String(); !strings.Contains(log, "broke off") && !strings.Contains(log, "retrying") {
		t.Errorf("nothing is said of the outage:\n%s", log)
	}
}
