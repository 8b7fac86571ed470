package harness

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Breaks is a proxy before a server whose connections can be cut.
type Breaks struct {
	Address string // host:port

	mu   sync.Mutex
	all  map[net.Conn]bool
	down bool
}

// BeforeEngine starts a proxy before the private engine.
func BeforeEngine(t testing.TB) *Breaks {
	t.Helper()
	return BreaksBefore(t, "unix", strings.TrimPrefix(World.Engine.Host, "unix://"))
}

// BreaksBefore starts a proxy before a server.
func BreaksBefore(t testing.TB, network, address string) *Breaks {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Breaks{Address: l.Addr().String(), all: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); b.Cut() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, address)
			if err != nil || !b.add(from, to) {
				from.Close()
				continue
			}
			go b.pass(from, to)
			go b.pass(to, from)
		}
	}()
	return b
}

// add registers a connection with its two ends; false if there are to be none.
func (b *Breaks) add(from, to net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		to.Close()
		return false
	}
	b.all[from], b.all[to] = true, true
	return true
}

func (b *Breaks) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	b.mu.Lock()
	delete(b.all, from)
	b.mu.Unlock()
}

// Cut closes all connections, as a load balancer does: what is on the way is lost.
func (b *Breaks) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.all {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // with a reset
		}
		c.Close()
	}
	clear(b.all)
}

// Refuse chooses whether new connections are refused.
func (b *Breaks) Refuse(all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = all
}
