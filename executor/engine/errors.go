package engine

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// wrap says what was being done, and names the socket when nobody answers on it.
func (e *Engine) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if advice := tlsAdvice(err); advice != "" {
		return fmt.Errorf("%s: the Docker Engine at %s: %s (%w)", doing, e.host, advice, err)
	}
	if client.IsErrConnectionFailed(err) {
		// The client's own message names the host and asks whether the daemon runs.
		return fmt.Errorf("%s: the Docker Engine at %s cannot be reached (%w)", doing, e.host, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// tlsAdvice says what is wrong where TLS failed; empty where it did not.
func tlsAdvice(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not signed by engine.tls_ca, or is for another name or time"
	}
	// The engine's refusal of ours; with TLS 1.3 it comes with the first answer.
	if refused, ok := errors.AsType[*net.OpError](err); ok && refused.Op == "remote error" { // an alert (crypto/tls)
		return "it refuses our certificate: engine.tls_cert and engine.tls_key must be what the engine's own CA has signed for clients"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "it does not speak TLS: take engine.tls_ca, tls_cert and tls_key away, or have it speak TLS"
	}
	// Client sent an HTTP request to an HTTPS server.
	if strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		return "it speaks TLS only: write engine.tls_ca, tls_cert and tls_key"
	}
	return ""
}

// IsNotFound tells that the thing named does not exist (any more).
func IsNotFound(err error) bool { return err != nil && cerrdefs.IsNotFound(err) }

// IsConflict tells that the thing is in use, or that its name is taken.
func IsConflict(err error) bool { return err != nil && cerrdefs.IsConflict(err) }

// IsImpossible tells that the engine or the runtime takes what it was asked for as
// impossible, such as a command that is not in the image.
func IsImpossible(err error) bool { return err != nil && cerrdefs.IsInvalidArgument(err) }

// IsWithoutCommand tells that neither the image nor we say what to run.
func IsWithoutCommand(err error) bool {
	// Error response from daemon: No command specified (later: no command specified)
	return IsImpossible(err) && strings.Contains(strings.ToLower(err.Error()), "no command specified")
}

// IsUnreachable tells that no engine answered, or that its answer broke off: what
// was asked may have been done or not.
func IsUnreachable(err error) bool {
	if err == nil {
		return false
	}
	// A call bounded by its own time, and what a connection that breaks in the
	// middle of an answer leaves the client's decoder with.
	for _, lost := range []error{context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, lost) {
			return true
		}
	}
	_, broken := errors.AsType[*json.SyntaxError](err)
	return broken || client.IsErrConnectionFailed(err)
}

// busyTexts are messages of daemons that give a busy resource no class of its own.
var busyTexts = []string{
	// error while removing network: network X id ... has active endpoints
	// (403 from 20.10 on: libnetwork's ActiveEndpointsError is Forbidden)
	"has active endpoints",
	// container X: driver "overlay2" failed to remove root filesystem: unlinkat /...: device or resource busy
	"device or resource busy",
	// unlinkat /...: directory not empty
	"directory not empty",
	// mkdir /...: file exists (a layer or a volume whose last removal is still under way)
	"file exists",
	// cannot stop container: X: tried to kill container, but did not receive an exit event (500)
	"did not receive an exit event",
	// removal of container X is already in progress (409 today, matched for daemons that wrap it)
	"is already in progress",
	// remove X: volume is in use - [...] (409 today, the same)
	"volume is in use",
}

// IsBusy tells that a removal failed only because something still uses the thing,
// or because the daemon was too slow to answer: it is worth another try.
func IsBusy(err error) bool {
	if err == nil {
		return false
	}
	if IsConflict(err) || cerrdefs.IsUnavailable(err) || cerrdefs.IsDeadlineExceeded(err) || cerrdefs.IsResourceExhausted(err) {
		return true
	}
	for _, t := range busyTexts {
		if strings.Contains(err.Error(), t) {
			return true
		}
	}
	return false
}

// IsRefused tells that the daemon will give the same answer however often it is
// asked: it does not take the request, or not from us.
func IsRefused(err error) bool {
	return err != nil && (cerrdefs.IsInvalidArgument(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) || cerrdefs.IsNotImplemented(err))
}
