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

// AwaitRequest asks to wait until one of the addresses (host:port, TCP) accepts a
// connection.
type AwaitRequest struct {
	Addresses []string      `json:"addresses"`
	Timeout   time.Duration `json:"timeout"`
}

// AwaitResponse has the reason why none did; it is empty if one did.
type AwaitResponse struct {
	Error string `json:"error"`
}

// Await answers an AwaitRequest read from in with an AwaitResponse written to out. It stops when
// in ends, because then no process waits for the answer.
func Await(in io.Reader, out io.Writer) error {
	return answer("await", in, out, func(o AwaitRequest) AwaitResponse {
		ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
		defer cancel()
		go func() {
			_, _ = io.Copy(io.Discard, in)
			cancel()
		}()
		return o.await(ctx, cancel)
	})
}

func (o AwaitRequest) await(ctx context.Context, cancel func()) AwaitResponse {
	errs := make([]error, len(o.Addresses))
	answered := make(chan struct{}, len(o.Addresses))
	var wg sync.WaitGroup
	for n, a := range o.Addresses {
		wg.Go(func() {
			if errs[n] = dialUntil(ctx, a); errs[n] == nil {
				answered <- struct{}{}
				cancel()
			}
		})
	}
	wg.Wait()
	if len(answered) > 0 || len(errs) == 0 {
		return AwaitResponse{}
	}
	return AwaitResponse{errs[0].Error()}
}

// dialUntil dials until the address answers or ctx ends. It returns the last error that
// describes the address.
func dialUntil(ctx context.Context, address string) error {
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
		// When ctx ends, the dial reports a time-out, sometimes a moment earlier.
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
