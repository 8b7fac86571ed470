package harness

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
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
	return BreaksBefore(t, "127.0.0.1:0", "unix", strings.TrimPrefix(World.Engine.Host, "unix://"))
}

// BreaksBefore starts a proxy at a TCP address, before a server.
func BreaksBefore(t testing.TB, listen, network, address string) *Breaks {
	t.Helper()
	l, err := net.Listen("tcp", listen)
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

// Counted is a script that writes numbered lines, with pauses, and what it writes.
func Counted(lines int) (script, want string) {
	var all strings.Builder
	for n := range lines {
		fmt.Fprintf(&all, "line %d of the script\n", n)
	}
	return fmt.Sprintf(`n=0; while [ $n -lt %d ]; do echo "line $n of the script"; n=$((n + 1)); case $n in *00) sleep 0.2;; esac; done`, lines), all.String()
}

// WantCounted wants the output of Counted in build_script, no line lost or doubled, and at least so many breaks of the
// connection.
func WantCounted(t testing.TB, r *runner.Result, want string, breaks int) {
	t.Helper()
	var got strings.Builder
	for line := range strings.Lines(r.Call(runner.StageBuild).Output.Of(runner.Stdout)) {
		if strings.HasSuffix(line, " of the script\n") {
			got.WriteString(line)
		}
	}
	if got.String() != want {
		t.Errorf("%d lines, want %d", strings.Count(got.String(), "\n"), strings.Count(want, "\n"))
	}
	text := r.Log.String()
	if lost, back := strings.Count(text, "The connection to build_script was lost"), strings.Count(text, "The connection to build_script is back"); lost < breaks || back < breaks {
		t.Errorf("%d connections were lost, %d came back\n%s", lost, back, r)
	}
}
