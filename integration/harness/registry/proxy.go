package registry

import (
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a way to a registry that can fail.
type Proxy struct {
	Address string // 127.0.0.1:port, the same after an outage
	target  string

	mu       sync.Mutex
	listener net.Listener // nil during an outage
	open     map[net.Conn]bool
	budget   int64         // bytes of answers until the next outage; negative: no end
	outage   time.Duration // how long that one lasts
	closed   bool
}

// NewProxy opens a way to target.
func NewProxy(target string) (*Proxy, error) {
	p := &Proxy{Address: "127.0.0.1:0", target: target, open: map[net.Conn]bool{}, budget: -1}
	return p, p.Up()
}

// Up ends an outage.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.Address)
	if err != nil {
		return err
	}
	p.listener, p.Address = l, l.Addr().String()
	go p.serve(l)
	return nil
}

// Down begins an outage: what is connected is cut, and nobody listens.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down()
}

func (p *Proxy) down() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for c := range p.open {
		c.Close()
	}
	clear(p.open)
	p.budget = -1
}

// CutAfter makes one outage once so many further bytes came from the registry.
func (p *Proxy) CutAfter(n int64, outage time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget, p.outage = n, outage
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.down()
}

func (p *Proxy) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		if p.listener != l { // cut meanwhile
			client.Close()
			server.Close()
		} else {
			p.open[client], p.open[server] = true, true
		}
		p.mu.Unlock()
		go p.relay(server, client, client)
		go p.relay(client, counted{server, p}, server)
	}
}

// relay copies until one side ends, and then ends both.
func (p *Proxy) relay(to net.Conn, what io.Reader, from net.Conn) {
	io.Copy(to, what)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		c.Close()
		delete(p.open, c)
	}
}

// counted spends the budget with what it reads.
type counted struct {
	io.Reader
	p *Proxy
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b[:min(len(b), 64<<10)])
	c.p.spend(int64(n))
	return n, err
}

func (p *Proxy) spend(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget < 0 {
		return
	}
	if p.budget -= n; p.budget > 0 {
		return
	}
	p.down()
	time.AfterFunc(p.outage, func() {
		for p.Up() != nil { // another socket may still hold the port
			time.Sleep(100 * time.Millisecond)
		}
	})
}
