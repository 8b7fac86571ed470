package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"gitlab-sysbox-executor/executor/fault"
)

const secret = "s3cret"

// auths is a config.json in which each user name identifies its entry.
func auths(servers ...string) string {
	var all []string
	for _, s := range servers {
		all = append(all, fmt.Sprintf("%q: {\"auth\": %q}", s, base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(s, ":", "")+"!:"+secret))))
	}
	return `{"auths": {` + strings.Join(all, ", ") + `}}`
}

// withHelpers puts programs on the PATH.
func withHelpers(t *testing.T, scripts map[string]string) {
	t.Helper()
	bin := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

const (
	// knows answers for a.example and for its own part of b.example.
	knows = `case $1 in
list) echo '{"https://a.example": "u", "b.example/part": "u"}' ;;
get) read -r server
	case $server in
	*none*) echo 'credentials not found in native keychain'; exit 1 ;;
	*token*) echo "{\"ServerURL\": \"$server\", \"Username\": \"<token>\", \"Secret\": \"s3cret\"}" ;;
	*) echo "{\"ServerURL\": \"$server\", \"Username\": \"helper\", \"Secret\": \"s3cret\"}" ;;
	esac ;;
esac`
	fails = `echo "s3cret on $1"; echo s3cret >&2; exit 3`
	babbs = `echo "s3cret, but no JSON"`
)

func TestFind(t *testing.T) {
	withHelpers(t, map[string]string{"knows": knows, "fails": fails, "babbles": babbs})
	payload := []Login{{"registry.example", "payload", secret}, {"gitlab.example:443", "proxy", secret}}
	const home = "HOME"
	for _, tt := range []struct {
		name, ref         string
		variable, config  string
		payload           []Login
		user, from, warns string // user is the user name of the entry that was found
		helpers           bool   // the variable may name credential helpers
		err               string
		class             fault.Class
	}{
		{name: "none", ref: "registry.example/x"},
		{name: "payload", ref: "registry.example/group/x:1", payload: payload, user: "payload", from: payloadSource},
		{name: "payload with a port", ref: "gitlab.example:443/group/dependency_proxy/containers/alpine:3", payload: payload, user: "proxy", from: payloadSource},
		{name: "another registry", ref: "registry.example.org/x", payload: payload},
		{name: "variable first", ref: "registry.example/x", variable: auths("registry.example"), config: auths("registry.example"), payload: payload,
			user: "registry.example!", from: authConfigSource},
		{name: "then the home folder", ref: "registry.example/x", variable: auths("other.example"), config: auths("registry.example"), payload: payload,
			user: "registry.example!", from: home},
		{name: "the longest path wins", ref: "registry.example/a/b/x:1", variable: auths("registry.example", "registry.example/a"), config: auths("registry.example/a/b"),
			user: "registry.example/a/b!", from: home},
		{name: "whole elements of the path", ref: "registry.example/ab/x", variable: auths("registry.example/a"), payload: payload, user: "payload", from: payloadSource},
		{name: "the image itself", ref: "registry.example/a/x:1", variable: auths("registry.example/a/x", "registry.example/a"), user: "registry.example/a/x!", from: authConfigSource},
		{name: "with a digest", ref: "registry.example/a/x@sha256:" + someID, variable: auths("registry.example/a/x"), user: "registry.example/a/x!", from: authConfigSource},
		{name: "a scheme means the whole registry", ref: "registry.example/x", variable: auths("https://Registry.Example/v1/"), user: "https//Registry.Example/v1/!", from: authConfigSource},
		{name: "Docker Hub by its old address", ref: "debian:12", variable: auths("https://index.docker.io/v1/"), user: "https//index.docker.io/v1/!", from: authConfigSource},
		{name: "Docker Hub", ref: "index.docker.io/group/x", variable: auths("docker.io"), user: "docker.io!", from: authConfigSource},
		{name: "Docker Hub's own images", ref: "debian", variable: auths("docker.io/library"), user: "docker.io/library!", from: authConfigSource},
		{name: "store", ref: "a.example/x", config: `{"credsStore": "knows"}`, user: "helper", from: home},
		{name: "store for a part", ref: "b.example/part/x", config: `{"credsStore": "knows"}`, user: "helper", from: home},
		{name: "store without it", ref: "b.example/other/x", config: `{"credsStore": "knows"}`},
		{name: "an empty entry beside a store", ref: "c.example/x", config: `{"auths": {"c.example": {}}, "credsStore": "knows"}`, user: "helper", from: home},
		{name: "an empty entry hides nothing", ref: "registry.example/x", config: `{"auths": {"registry.example": {}}}`, payload: payload, user: "payload", from: payloadSource},
		{name: "helper", ref: "registry.example/x", helpers: true, variable: `{"credHelpers": {"registry.example": "knows"}}`, payload: payload, user: "helper", from: authConfigSource},
		{name: "helper before the file", ref: "registry.example/x", config: strings.TrimSuffix(auths("registry.example"), "}") + `, "credHelpers": {"registry.example": "knows"}}`,
			user: "helper", from: home},
		{name: "helper that knows nothing", ref: "none.example/x", config: `{"credHelpers": {"none.example": "knows"}}`,
			payload: []Login{{"none.example", "payload", secret}}, user: "payload", from: payloadSource},
		{name: "helper with a token", ref: "token.example/x", config: `{"credHelpers": {"token.example": "knows"}}`, user: "", from: home},
		{name: "helper that is not needed", ref: "registry.example/x", config: `{"credHelpers": {"other.example": "fails"}}`, payload: payload, user: "payload", from: payloadSource},
		{name: "helper that fails", ref: "registry.example/x", helpers: true, variable: `{"credHelpers": {"registry.example": "fails"}}`, payload: payload, user: "payload", from: payloadSource,
			warns: "docker-credential-fails get: exit status 3"},
		{name: "helper that babbles", ref: "registry.example/x", helpers: true, variable: `{"credHelpers": {"registry.example": "babbles"}}`, payload: payload, user: "payload", from: payloadSource,
			warns: "docker-credential-babbles get: its answer is not valid"},
		{name: "store that fails", ref: "registry.example/x", config: `{"auths": {"registry.example": {"username": "file", "password": "s3cret"}}, "credsStore": "fails"}`,
			user: "file", from: home, warns: "docker-credential-fails list: exit status 3"},
		{name: "helper that is not there", ref: "registry.example/x", helpers: true, variable: `{"credHelpers": {"registry.example": "absent"}}`, payload: payload, user: "payload", from: payloadSource,
			warns: `docker-credential-absent get: exec: "docker-credential-absent": executable file not found in $PATH`},
		{name: "another program", ref: "registry.example/x", helpers: true, variable: `{"credHelpers": {"registry.example": "../../../bin/sh"}}`, class: fault.Job,
			err: `credentials from $DOCKER_AUTH_CONFIG: ` + errHelperName.Error() + `: "../../../bin/sh"`},
		{name: "another program as a store", ref: "registry.example/x", helpers: true, variable: `{"credsStore": "x/y\n"}`, class: fault.Job,
			err: `credentials from $DOCKER_AUTH_CONFIG: ` + errHelperName.Error() + `: "x/y\n"`},
		{name: "a job's helper, by default", ref: "registry.example/x", variable: `{"credHelpers": {"registry.example": "knows"}}`, payload: payload, user: "payload", from: payloadSource,
			warns: "$DOCKER_AUTH_CONFIG names credsStore or credHelpers, which this runner does not start for a job (job.credential_helpers)"},
		{name: "a job's store, by default", ref: "a.example/x", variable: `{"credsStore": "knows"}`, warns: "(job.credential_helpers)"},
		{name: "another program, by default", ref: "registry.example/x", variable: `{"credsStore": "../x", "auths": {"registry.example": {"username": "u", "password": "s3cret"}}}`,
			user: "u", from: authConfigSource, warns: "(job.credential_helpers)"},
		{name: "no JSON", ref: "registry.example/x", variable: "s3cret", payload: payload, user: "payload", from: payloadSource, warns: "$DOCKER_AUTH_CONFIG: it is not the text"},
		{name: "no base64", ref: "registry.example/x", variable: `{"auths": {"registry.example": {"auth": "s3cret!"}}}`, payload: payload, user: "payload", from: payloadSource,
			warns: "$DOCKER_AUTH_CONFIG: it is not the text"},
		{name: "no password in it", ref: "registry.example/x", config: `{"auths": {"registry.example": {"auth": "czNjcmV0"}}}`, payload: payload, user: "payload", from: payloadSource,
			warns: "/.docker/config.json: it is not the text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Sources{AuthConfig: tt.variable, AuthConfigHelpers: tt.helpers, Home: t.TempDir(), Payload: tt.payload}
			file := filepath.Join(s.Home, ".docker", "config.json")
			if tt.config != "" {
				if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tt.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			l := logrus.New()
			l.SetOutput(&log)
			l.SetFormatter(&logrus.TextFormatter{DisableQuote: true})
			found, err := s.find(t.Context(), tt.ref, l)
			if err != nil && (err.Error() != tt.err || fault.ClassOf(err) != tt.class) || err == nil && tt.err != "" {
				t.Errorf("error %v, class %v", err, fault.ClassOf(err))
			}
			from := tt.from
			if from == home {
				from = file
			}
			if found.Source != from || found.Username != tt.user || from != "" && found.Password+found.IdentityToken != secret {
				t.Errorf("%q from %q", found.Username, found.Source)
			}
			if (log.Len() > 0) != (tt.warns != "") || !strings.Contains(log.String(), tt.warns) || strings.Count(log.String(), "\n") > 1 {
				t.Errorf("log: %s", log.String())
			}
			text, _ := json.Marshal(Request{Credentials: s})
			for _, shown := range []string{log.String(), fmt.Sprint(err), fmt.Sprintf("%v %+v %#v %s", s, Request{Credentials: s}, tt.payload, found), string(text)} {
				if strings.Contains(shown, secret) {
					t.Errorf("the secret is shown: %s", shown)
				}
			}
		})
	}
}

// A helper that a job names gets only what it needs to find programs and its settings. The
// administrator's helper does not get the job's variables.
func TestHelperEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "env")
	withHelpers(t, map[string]string{"looks": "env >" + out + "; echo '{}'"})
	t.Setenv("HOME", "/home/of/the/runner")
	t.Setenv("AWS_PROFILE", "the-administrators")
	t.Setenv("CUSTOM_ENV_SECRET", secret)
	for _, job := range []bool{true, false} {
		if _, err := (helper{name: "looks", job: job}).list(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		environment := string(text)
		for _, always := range []string{"HOME=/home/of/the/runner\n", "PATH="} {
			if !strings.Contains(environment, always) {
				t.Errorf("job's: %t: no %q in\n%s", job, always, environment)
			}
		}
		if strings.Contains(environment, "CUSTOM_ENV_") || strings.Contains(environment, "the-administrators") == job {
			t.Errorf("job's: %t:\n%s", job, environment)
		}
	}
}

func TestHelperHasLimitedTime(t *testing.T) {
	withHelpers(t, map[string]string{"sleeps": "sleep 1000 & wait"})
	defer func(before time.Duration) { helperTimeout = before }(helperTimeout)
	helperTimeout = 300 * time.Millisecond
	began := time.Now()
	_, err := helper{name: "sleeps"}.get(t.Context(), "registry.example")
	if err == nil || err.Error() != "docker-credential-sleeps get: no answer within 300ms" {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

// A configured file replaces the user's file, and must exist.
func TestFindReadsTheNamedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(file, []byte(`{"auths": {"registry.example": {"auth": "dXNlcjpzZWNyZXQ="}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	log, hook := test.NewNullLogger()
	s := Sources{Home: dir, File: file}
	if c, err := s.Find(context.Background(), "registry.example/a:1", log); err != nil || c.Username != "user" || c.Password != "secret" {
		t.Errorf("%v %v", c, err)
	}
	if c, err := s.Find(context.Background(), "other.example/a:1", log); err != nil || !c.Empty() {
		t.Errorf("%v %v", c, err)
	}
	s.File += ".gone"
	if c, err := s.Find(context.Background(), "registry.example/a:1", log); err != nil || !c.Empty() || !strings.Contains(hook.LastEntry().Message, "no such file") {
		t.Errorf("%v %v %v", c, err, hook.LastEntry())
	}
}
