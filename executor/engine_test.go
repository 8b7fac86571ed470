package executor

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
)

// standIn is an executor whose engine has nothing but the networks that there are,
// of one job. Look is called with each request first.
func standIn(t *testing.T, networks []engine.Found, look func(*http.Request)) *Executor {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		look(r)
		var answer any = networks
		switch {
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			answer = []any{}
		case strings.HasSuffix(r.URL.Path, "/volumes"):
			answer = map[string]any{"Volumes": []any{}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	e, err := engine.New("unix://"+socket, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	log := logrus.New()
	log.SetOutput(t.Output())
	return &Executor{Engine: e, StateDir: t.TempDir(), CleanupTimeout: time.Minute, Log: log}
}
