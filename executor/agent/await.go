package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// AwaitOrder asks to wait until one of the addresses (host:port, TCP) accepts a
// connection.
type AwaitOrder struct {
	Addresses []string      `json:"addresses"`
	Timeout   time.Duration `json:"timeout"`
}

// AwaitReport tells why none did; empty when one did.
type AwaitReport struct {
	Error string `json:"error"`
}

// Await answers an AwaitOrder read from in with an AwaitReport written to out. It
// gives up at once when in ends: nobody waits for the answer any more.
func Await(in io.Reader, out io.Writer) error {
	return answer("await", in, out, func(o AwaitOrder) AwaitReport {
		ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
		defer cancel()
		go func() {
			_, _ = io.Copy(io.Discard, in)
			cancel()
		}()
		return o.await(ctx, cancel)
	})
}

func (o AwaitOrder) await(ctx context.Context, cancel func()) AwaitReport {
	errs := make([]error, len(o.Addresses))
	answered := make(chan struct{}, len(o.Addresses))
	var wg sync.WaitGroup
	for n, a := range o.Addresses {
		wg.Go(func() {
			if errs[n] = knock(ctx, a); errs[n] == nil {
				answered <- struct{}{}
				cancel()
			}
		})
	}
	wg.Wait()
	if len(answered) > 0 || len(errs) == 0 {
		return AwaitReport{}
	}
	return AwaitReport{errs[0].Error()}
}

// knock dials until the address answers or ctx ends; its error is the last that
// says something of the address.
func knock(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: time.Second}
	last, known := fmt.Errorf("no answer from %s", address), false
	for {
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return last
		}
		// The end of ctx shows as a time-out of the dial, too, and a moment earlier.
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || !known {
			last, known = err, true
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(100 * time.Millisecond):
		}
	}
}
