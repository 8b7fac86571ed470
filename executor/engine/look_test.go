package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// answering is an engine that gives the same answer to every request.
func answering(t *testing.T, api, answer string) *Engine {
	t.Helper()
	return handling(t, api, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
}

// handling is an engine that answers with handle.
func handling(t *testing.T, api string, handle http.HandlerFunc) *Engine {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		handle(w, r)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	e, err := New("unix://"+socket, time.Minute, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// A volume that an administrator mounts is not removed with a job, whatever its name is.
func TestHostileNoAskedForVolumeIsAnonymous(t *testing.T) {
	random := strings.Repeat("a", 64)
	asked, bound, short := strings.Repeat("b", 64), strings.Repeat("c", 64), "data"
	e := answering(t, "1.41", fmt.Sprintf(`{"Id":"x",
		"HostConfig":{"Mounts":[{"Type":"volume","Source":%[2]q,"Target":"/b"},{"Type":"volume","Source":%[4]q,"Target":"/d"}],"Binds":["%[3]s:/c:ro"]},
		"Mounts":[{"Type":"volume","Name":%[1]q},{"Type":"volume","Name":%[2]q},{"Type":"volume","Name":%[3]q},{"Type":"volume","Name":%[4]q},{"Type":"bind","Source":"/e"}]}`,
		random, asked, bound, short))
	d, err := e.Look(t.Context(), "x")
	if err != nil || !slices.Equal(d.Anonymous, []string{random}) || len(d.Volumes) != 4 {
		t.Errorf("%+v %v", d, err)
	}
}

func TestIPv6Apart(t *testing.T) {
	for api, apart := range map[string]bool{"1.41": false, "1.45": false, "1.46": true, "1.52": true} {
		i, err := answering(t, api, `{"ServerVersion":"x"}`).Info(t.Context())
		if err != nil || i.IPv6Apart != apart {
			t.Errorf("API %s: %t %v", api, i.IPv6Apart, err)
		}
	}
}
