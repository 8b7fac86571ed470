package image

import (
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/integration/heap"
)

// A job's DOCKER_AUTH_CONFIG starts no program, and no password in it reaches the log or an error.
func FuzzAuthConfig(f *testing.F) {
	const auths = `"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpzZWNyZXQtcGFzc3dvcmQ="},"r.example.com:5000/a":{"username":"u","password":"secret-password"}}`
	for _, text := range []string{
		"", "{}", "{" + auths + "}", "{" + auths, `{"credsStore":"../sh"}`, `{"credHelpers":{"r.example.com":"a/b"}}`,
		`{"auths":{"r.example.com":{"auth":"secret-password"}}}`, `{"auths":{"r.example.com":{"auth":"c2VjcmV0LXBhc3N3b3Jk"}}}`,
	} {
		f.Add(text, "docker.io/library/a:1")
		f.Add(text, "r.example.com:5000/a/b@sha256:0")
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		defer heap.Bounded(t)()
		var b strings.Builder
		log := logrus.New()
		log.SetOutput(&b)
		found, err := Sources{AuthConfig: text}.Find(t.Context(), ref, log)
		if err != nil {
			_, _ = io.WriteString(&b, err.Error())
			if fault.ClassOf(err) != fault.Job {
				t.Errorf("class %v of %v", fault.ClassOf(err), err)
			}
		}
		for _, secret := range []string{"secret-password", found.Password, found.IdentityToken, found.RegistryToken} {
			// A short one may be a part of any word, and a job's author may name a registry as they like.
			if len(secret) > 12 && strings.Contains(b.String(), secret) && !strings.Contains(found.Server+found.Username+ref, secret) {
				t.Errorf("%q is in %q", secret, b.String())
			}
		}
	})
}
