package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Several containers of a job make the same folder on a shared volume.
func TestMakeFolderBesideAnother(t *testing.T) {
	for answer, c := range map[string]struct{ fails, tries int }{
		"Error processing tar file(exit status 1): mkdir /var/lib/containers/tmp: file exists": {1, 2},
		"no space left on device": {1, 1},
	} {
		tries := 0
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", "1.41")
			if r.Method != http.MethodPut {
				return
			}
			if tries++; tries <= c.fails {
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprintf(w, `{"message":%q}`, answer)
			}
		})}}
		server.Start()
		t.Cleanup(server.Close)
		e, err := New("unix://"+socket, time.Minute, TLS{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		err = e.MakeFolder(t.Context(), "x", "/var/lib/containers/tmp", 0o1777)
		if tries != c.tries || (err == nil) != (c.tries > c.fails) || err != nil && !strings.Contains(err.Error(), answer) {
			t.Errorf("%s: %d tries, %v", answer, tries, err)
		}
	}
}
