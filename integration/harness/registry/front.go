package registry

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Front is another address of a registry, which takes down what it is asked and
// can keep whoever asks waiting.
type Front struct {
	Address string // host:port
	server  *http.Server

	mu    sync.Mutex
	asked []Asked
	gate  chan struct{} // closed when nobody has to wait; nil from the start
	wait  int           // requests that are kept waiting
}

// Asked is one request.
type Asked struct{ From, Method, Path string }

// NewFront listens on an address of the host's for a registry at target.
func NewFront(host, target string) (*Front, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	f := &Front{Address: l.Addr().String()}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
	f.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		f.mu.Lock()
		f.asked = append(f.asked, Asked{from, r.Method, r.URL.Path})
		gate := f.gate
		f.wait++
		f.mu.Unlock()
		if gate != nil && strings.Contains(r.URL.Path, "/manifests/") {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		f.mu.Lock()
		f.wait--
		f.mu.Unlock()
		proxy.ServeHTTP(w, r)
	})}
	go f.server.Serve(l)
	return f, nil
}

// Asked is all that was asked so far.
func (f *Front) Asked() []Asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Hold keeps whoever asks for a manifest waiting until release is called.
func (f *Front) Hold() (release func()) {
	gate := make(chan struct{})
	f.mu.Lock()
	f.gate = gate
	f.mu.Unlock()
	return sync.OnceFunc(func() {
		f.mu.Lock()
		f.gate = nil
		f.mu.Unlock()
		close(gate)
	})
}

// Waiting tells whether a request is kept waiting.
func (f *Front) Waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gate != nil && f.wait > 0
}

// Close ends it.
func (f *Front) Close() error { return f.server.Close() }
