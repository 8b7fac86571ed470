package engine

import (
	"errors"
	"fmt"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
)

// Messages of engines from 20.10 to 29, verbatim.
func TestPullErrors(t *testing.T) {
	const again, refused, absent, lasting = "again", "refused", "absent", "lasting"
	for _, tt := range []struct {
		message, want string
		class         error
	}{
		{`Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused`, again, nil},
		{`Get "https://registry.example/v2/": dial tcp: lookup registry.example on 127.0.0.53:53: no such host`, again, cerrdefs.ErrNotFound},
		{`Get "https://registry.example/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, again, nil},
		{`Get "https://registry.example/v2/": net/http: TLS handshake timeout`, again, nil},
		{"read tcp 127.0.0.1:4711->127.0.0.1:5000: read: connection reset by peer", again, nil},
		{"received unexpected HTTP status: 503 Service Unavailable", again, nil},
		{"unexpected EOF", again, nil},
		{"filesystem layer verification failed for digest sha256:0", again, nil},
		{`Get "http://127.0.0.1:5000/v2/": unauthorized: authentication required`, refused, nil},
		{`Head "http://127.0.0.1:5000/v2/x/manifests/y": no basic auth credentials`, refused, nil},
		{"pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", refused, cerrdefs.ErrNotFound},
		{`failed to resolve reference "127.0.0.1:5000/x:y": unexpected status from HEAD request to http://127.0.0.1:5000/v2/x/manifests/y: 403 Forbidden`, refused, nil},
		{"who knows", refused, cerrdefs.ErrUnauthenticated},
		{"manifest for x:y not found: manifest unknown: manifest unknown", absent, cerrdefs.ErrNotFound},
		{`failed to resolve reference "127.0.0.1:5000/x:y": 127.0.0.1:5000/x:y: not found`, absent, nil},
		{"no matching manifest for linux/s390x in the manifest list entries", absent, nil},
		{"image with reference x was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64", absent, nil},
		{"invalid reference format", absent, cerrdefs.ErrInvalidArgument},
		{"toomanyrequests: You have reached your unauthenticated pull rate limit", lasting, nil},
		{"failed to register layer: write /x: no space left on device", lasting, nil},
	} {
		err := errors.New("Error response from daemon: " + tt.message)
		if tt.class != nil {
			err = fmt.Errorf("%w: %w", err, tt.class)
		}
		got := again
		switch {
		case IsPullRefused(err):
			got = refused
		case IsPullAbsent(err):
			got = absent
		case IsPullLasting(err):
			got = lasting
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.message, got, tt.want)
		}
	}
	if IsPullRefused(nil) || IsPullAbsent(nil) || IsPullLasting(nil) {
		t.Error("no error has a class")
	}
}
