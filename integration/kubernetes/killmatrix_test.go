package kubernetes

import (
	"fmt"
	"gitlab-sysbox-executor/integration/harness/runner"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// proxy stands before the API server and counts the executor's requests.
type proxy struct {
	kubeconfig string

	mu    sync.Mutex
	calls []string
	// at is the number of the request, from 1, at which strike is called; after it was answered if late is set.
	at     int
	late   bool
	strike func()
}

// newProxy starts a proxy for the executor's account.
func newProxy(t *testing.T) *proxy {
	t.Helper()
	account, err := clientcmd.BuildConfigFromFlags("", world.env["KUBECONFIG_EXECUTOR"])
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(account)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(account.Host)
	if err != nil {
		t.Fatal(err)
	}
	p := new(proxy)
	forward := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0), // of clients that were killed
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		early, late := p.count(r)
		if early != nil {
			early()
		}
		if late != nil {
			defer late()
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [{"name": "x", "cluster": {"server": %q}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": ""}}]}`, server.URL)
	if err := os.WriteFile(p.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// count notes a request. It returns what to call before or after it, if it is the one to strike at.
func (p *proxy) count(r *http.Request) (early, late func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := r.Method + " " + r.URL.Path[strings.LastIndex(r.URL.Path, "/namespaces/")+1:]
	if r.URL.Query().Get("watch") != "" {
		what += " (watch)"
	}
	p.calls = append(p.calls, what)
	switch {
	case p.strike == nil || len(p.calls) != p.at:
		return nil, nil
	case p.late:
		return nil, p.strike
	}
	return p.strike, nil
}

// seen returns the requests since the last call and forgets them.
func (p *proxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.calls
	p.calls, p.strike = nil, nil
	return all
}

// The driver is killed at each request of prepare, before and after its answer, and at each of cleanup. One gc then leaves
// nothing.
func TestKillMatrix(t *testing.T) {
	x := newProxy(t)
	p := newPlace(t, fmt.Sprintf("kubernetes.kubeconfig = %q", x.kubeconfig))
	s := p.prepared(t, job("true"))
	prepare := x.seen()
	if call := s.RunScript(t.Context(), "build_script", "true"); call.Err != nil {
		t.Fatal(call)
	}
	run := x.seen()
	if call := s.Cleanup(); call.Err != nil {
		t.Fatal(call)
	}
	cleanup := x.seen()
	t.Logf("%d requests of prepare: %q\n%d of a stage: %q\n%d of cleanup: %q", len(prepare), prepare, len(run), run, len(cleanup), cleanup)
	if len(prepare) < 6 || len(cleanup) < 3 {
		t.Error("requests are missing")
	}
	p.wantNothing(t)
	met := 0
	strike := func(n int, start func() *runner.Process) {
		var driver *runner.Process
		begun, killed := make(chan struct{}), make(chan struct{})
		x.set(n/2+1, n%2 == 1, func() {
			<-begun
			if err := driver.Kill(); err != nil {
				t.Error(err)
			}
			close(killed)
		})
		driver = start()
		close(begun)
		if _, err := driver.Wait(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
		select {
		case <-killed:
			met++
		case <-time.After(time.Second):
		}
		x.seen()
		p.command(t, "gc")
		p.wantNothing(t)
	}
	for n := range 2 * len(prepare) {
		s := p.orphan(t, job("true"))
		strike(n, s.StartPrepare)
	}
	for n := range 2 * len(cleanup) {
		s := p.orphan(t, job("true"))
		if call := s.Prepare(t.Context()); call.Err != nil {
			t.Fatal(call)
		}
		x.seen()
		strike(n, s.StartCleanup)
	}
	if all := 2 * (len(prepare) + len(cleanup)); met < all*9/10 {
		t.Errorf("%d of %d kills were met", met, all)
	}
}

// set chooses the request to strike at.
func (p *proxy) set(at int, late bool, strike func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.at, p.late, p.strike = nil, at, late, strike
}
