package agent

import (
	"net"
	"os"
	"testing"
	"time"
)

func TestHandoverIsNeverMissed(t *testing.T) {
	d := &server{done: make(chan struct{}), first: make(chan handover, 1)}
	if got := d.await(time.Millisecond).State; got != EntrypointIgnores {
		t.Errorf("before: %s", got)
	}
	d.state = handover{State: EntrypointReady}
	close(d.done)
	for range 1000 { // a stage asks with no time to wait
		if got := d.await(0).State; got != EntrypointReady {
			t.Fatalf("after: %s", got)
		}
	}
}

// Only the first process is asked: any process that shares the network namespace can take the name of its socket.
func TestHostileHandover(t *testing.T) {
	d := newServer()
	err := d.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer d.listener.Close()
	d.settle(handover{State: EntrypointReady, Env: []string{"SECRET=1"}})
	old := firstPID
	t.Cleanup(func() { firstPID = old })
	firstPID = os.Getpid()
	if h, err := askHandover(time.Second); err != nil || h.State != EntrypointReady {
		t.Errorf("%+v, %v", h, err)
	}
	firstPID = 1
	if c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socketName, Net: "unix"}); err != nil || ofFirst(c) == nil {
		t.Errorf("this process counts as the first one, %v", err)
	}
}

func TestFirstHandoverWins(t *testing.T) {
	d := &server{first: make(chan handover, 1)}
	d.settle(handover{State: EntrypointReady})
	d.settle(handover{State: EntrypointExited})
	if got := <-d.first; got.State != EntrypointReady {
		t.Errorf("got %s", got.State)
	}
}
