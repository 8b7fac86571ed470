package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// AwaitOrder asks to wait until each address (host:port, TCP) accepts a connection.
type AwaitOrder struct {
	Addresses []string      `json:"addresses"`
	Timeout   time.Duration `json:"timeout"`
}

// AwaitReport holds, for each address, why it was given up; empty for one that answered.
type AwaitReport struct {
	Errors []string `json:"errors"`
}

// Await answers an AwaitOrder read from in with an AwaitReport written to out.
func Await(in io.Reader, out io.Writer) error {
	var o AwaitOrder
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("agent await: %w", err)
	}
	r := AwaitReport{Errors: make([]string, len(o.Addresses))}
	deadline := time.Now().Add(o.Timeout)
	var wg sync.WaitGroup
	for n, a := range o.Addresses {
		wg.Go(func() {
			if err := knock(a, deadline); err != nil {
				r.Errors[n] = err.Error()
			}
		})
	}
	wg.Wait()
	return json.NewEncoder(out).Encode(r)
}

func knock(address string, deadline time.Time) error {
	d := net.Dialer{Timeout: time.Second}
	for {
		c, err := d.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
