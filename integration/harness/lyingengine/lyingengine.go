// Package lyingengine is a proxy in front of a Docker Engine's socket that spoils
// single calls: with an error, a reset, half an answer or a delay.
package lyingengine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"regexp"
	"sync"
	"time"
)

// Call is a kind of call, as "POST /containers/create".
type Call string

// version and id are what differs between calls of one kind.
var (
	version = regexp.MustCompile(`^/v1\.[0-9]+`)
	id      = regexp.MustCompile(`^(/(?:containers|networks|volumes|exec|images)/)([^/]+)(/[a-z]+)?$`)
	fixed   = map[string]bool{"create": true, "json": true, "prune": true}
)

// KindOf is the kind of a request: its method and path, with * for a name in it.
func KindOf(r *http.Request) Call {
	p := version.ReplaceAllString(path.Clean(r.URL.Path), "")
	if m := id.FindStringSubmatch(p); m != nil && (!fixed[m[2]] || m[3] != "") {
		p = m[1] + "*" + m[3]
	}
	return Call(r.Method + " " + p)
}

// Fault spoils a call. Done tells whether the engine does what was asked first.
type Fault struct {
	Name string
	Done bool
	// Status and Message are the answer given; none when Status is 0.
	Status  int
	Message string
	Reset   bool          // the connection is reset in place of an answer
	Half    bool          // the connection is reset in the middle of the answer
	Delay   time.Duration // before the engine hears of it
	// Hold keeps the call from the engine until it is closed.
	Hold <-chan struct{}
}

// wait lasts until the engine is to hear of the call.
func (f *Fault) wait() {
	time.Sleep(f.Delay)
	if f.Hold != nil {
		<-f.Hold
	}
}

// Faults are those that an engine is known to show.
func Faults() []Fault {
	all := []Fault{
		{Name: "reset before", Reset: true},
		{Name: "reset after", Reset: true, Done: true},
		{Name: "half an answer", Half: true, Done: true},
		{Name: "delay", Delay: 2 * time.Second, Done: true},
		// The caller gives up, the engine does it all the same.
		{Name: "reset, done later", Reset: true, Delay: time.Second, Done: true},
	}
	for _, f := range []struct {
		status  int
		message string
	}{
		{500, "device or resource busy"},
		{500, "unlinkat /var/lib/docker/overlay2/x/merged: directory not empty"},
		{500, "mkdir /var/lib/docker/overlay2/x: file exists"},
		{500, "open /sys/fs/cgroup/x: no such file or directory"},
		{500, "rmdir /sys/fs/cgroup/x: read-only file system"},
		{500, "umount /x: invalid argument"},
		{500, "context deadline exceeded"},
		{500, "something that nobody has heard of"},
		{503, "the daemon is shutting down"},
		{504, "gateway time-out"},
		{409, "removal of container x is already in progress"},
		{409, "remove x: volume is in use - [x]"},
		{403, "error while removing network: network x id y has active endpoints"},
		{404, "No such container: x"},
		{404, "get x: no such volume"},
		{404, "network x not found"},
	} {
		name := fmt.Sprintf("%d %s", f.status, f.message)
		all = append(all, Fault{Name: name, Status: f.status, Message: f.message},
			Fault{Name: name + ", but done", Status: f.status, Message: f.message, Done: true})
	}
	return all
}

// Proxy stands in front of an engine.
type Proxy struct {
	Host string // unix:///path

	engine string
	server *http.Server

	mu    sync.Mutex
	seen  map[Call]int
	call  Call
	fault *Fault
	times int
	hit   bool
	later sync.WaitGroup
}

// Start listens at socket for the engine at the socket engine.
func Start(socket, engine string) (*Proxy, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Host: "unix://" + socket, engine: engine, seen: map[Call]int{}}
	p.server = &http.Server{Handler: p}
	go func() { _ = p.server.Serve(l) }() // ends with Close
	return p, nil
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error { return p.server.Close() }

// Spoil makes the next calls of a kind, so many, go wrong.
func (p *Proxy) Spoil(c Call, f Fault, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call, p.fault, p.times, p.hit = c, &f, times, false
}

// Heal lets all calls pass, waits until the engine has done what was delayed,
// and tells whether a call was spoiled.
func (p *Proxy) Heal() bool {
	p.mu.Lock()
	p.fault = nil
	hit := p.hit
	p.mu.Unlock()
	p.later.Wait()
	return hit
}

// Seen counts the calls so far.
func (p *Proxy) Seen() map[Call]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[Call]int{}
	for c, n := range p.seen {
		seen[c] = n
	}
	return seen
}

func (p *Proxy) pick(r *http.Request) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := KindOf(r)
	p.seen[kind]++
	if p.fault == nil || kind != p.call || p.times == 0 {
		return nil
	}
	p.times--
	p.hit = true
	return p.fault
}

func (p *Proxy) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", p.engine)
}

func (p *Proxy) pass() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     &http.Transport{DialContext: p.dial, DisableKeepAlives: true},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

// ServeHTTP passes a call on, or spoils it. A panic with ErrAbortHandler is the
// server's own way to break a connection.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.pick(r)
	if f == nil {
		p.pass().ServeHTTP(w, r)
		return
	}
	if (f.Delay > 0 || f.Hold != nil) && f.Reset {
		// The engine hears of it after the caller has lost its connection.
		r = r.Clone(context.WithoutCancel(r.Context()))
		body := &keep{header: http.Header{}}
		text, err := readAll(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = text
		p.mu.Lock() // Heal waits for what is begun before it
		p.later.Go(func() {
			defer func() { _ = recover() }() // the proxy's way to say that the engine broke off
			f.wait()
			p.pass().ServeHTTP(body, r)
		})
		p.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	f.wait()
	switch {
	case f.Half:
		answer := &keep{header: http.Header{}}
		p.pass().ServeHTTP(answer, r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(answer.body.Len()+10))
		w.WriteHeader(max(answer.status, 200))
		_, _ = w.Write(answer.body.Bytes()[:answer.body.Len()/2]) // it is broken off anyhow
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	case f.Done && (f.Status > 0 || f.Reset):
		p.pass().ServeHTTP(&keep{header: http.Header{}}, r)
	case f.Done:
		p.pass().ServeHTTP(w, r)
		return
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": f.Message}) // the caller may be gone
}
