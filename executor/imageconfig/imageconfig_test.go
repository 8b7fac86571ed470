package imageconfig

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab-sysbox-executor/executor/image"
)

// serve starts a registry that wants a password, with one image, and returns the image's name.
func serve(t *testing.T) string {
	t.Helper()
	all := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.Method == http.MethodGet && (user != "ci" || password != "secret") {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		all.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	reference := strings.TrimPrefix(server.URL, "http://") + "/group/image:1"
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	made, err := mutate.Config(empty.Image, v1.Config{
		Entrypoint: []string{"/start"}, Cmd: []string{"/sbin/init"}, Env: []string{"A=b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}}, Labels: map[string]string{"a": "b"},
	})
	if err == nil {
		err = remote.Write(ref, made, remote.WithAuth(&authn.Basic{Username: "ci", Password: "secret"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

func TestRead(t *testing.T) {
	reference := serve(t)
	c, err := Read(t.Context(), reference, image.Credentials{Username: "ci", Password: "secret"})
	if err != nil || !slices.Equal(c.Entrypoint, []string{"/start"}) || !slices.Equal(c.Command, []string{"/sbin/init"}) || !slices.Equal(c.Env, []string{"A=b"}) ||
		!slices.Equal(c.Ports, []string{"53/udp", "80/tcp"}) || c.Labels["a"] != "b" {
		t.Errorf("%+v, %v", c, err)
	}
	for what, login := range map[string]image.Credentials{"no login": {}, "a wrong one": {Username: "ci", Password: "other"}} {
		if _, err := Read(t.Context(), reference, login); err == nil || strings.Contains(err.Error(), "other") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Read(t.Context(), "A B", image.Credentials{}); err == nil {
		t.Error("no reference")
	}
}

// A registry that never stops sending costs a bounded amount of memory.
func TestHostileRegistry(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v2/") {
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		for n := range 1 << 16 {
			m, err := fmt.Fprintf(w, `{"n%d": %q, `, n, strings.Repeat("x", 1<<10))
			if sent.Add(int64(m)); err != nil {
				return
			}
		}
	}))
	if _, err := Read(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/a:1", image.Credentials{}); err == nil {
		t.Error("it was read")
	}
	server.CloseClientConnections()
	server.Close()
	if sent.Load() > 8*most {
		t.Errorf("%d bytes were taken", sent.Load())
	}
}
