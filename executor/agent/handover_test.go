package agent

import (
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

func TestFirstHandoverWins(t *testing.T) {
	d := &server{first: make(chan handover, 1)}
	d.settle(handover{State: EntrypointReady})
	d.settle(handover{State: EntrypointExited})
	if got := <-d.first; got.State != EntrypointReady {
		t.Errorf("got %s", got.State)
	}
}
