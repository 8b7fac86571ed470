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

// wrap adds the operation to an error, and the engine's address if it is unreachable.
func (e *Engine) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if advice := tlsAdvice(err); advice != "" {
		return fmt.Errorf("%s: the Docker Engine at %s: %s (%w)", doing, e.host, advice, err)
	}
	if client.IsErrConnectionFailed(err) {
		// The client's message names the host and asks whether the daemon runs.
		return fmt.Errorf("%s: the Docker Engine at %s cannot be reached (%w)", doing, e.host, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// tlsAdvice explains a TLS error; empty for other errors.
func tlsAdvice(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not signed by engine.tls_ca, or is for another name or time"
	}
	// The engine refuses our certificate. With TLS 1.3 the alert comes with the first answer.
	if refused, ok := errors.AsType[*net.OpError](err); ok && refused.Op == "remote error" { // a TLS alert (crypto/tls)
		return "it refuses our certificate: engine.tls_cert and engine.tls_key must be a client certificate that the engine's CA has signed"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "it does not speak TLS: remove engine.tls_ca, tls_cert and tls_key, or enable TLS on the engine"
	}
	// Client sent an HTTP request to an HTTPS server.
	if strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		return "it speaks TLS only: set engine.tls_ca, tls_cert and tls_key"
	}
	return ""
}

// IsNotFound reports whether the resource does not exist.
func IsNotFound(err error) bool { return err != nil && cerrdefs.IsNotFound(err) }

// IsConflict reports whether the resource is in use, or its name is taken.
func IsConflict(err error) bool { return err != nil && cerrdefs.IsConflict(err) }

// IsImpossible reports whether the engine or the runtime rejects the request itself, for
// example because the image does not have the command.
func IsImpossible(err error) bool { return err != nil && cerrdefs.IsInvalidArgument(err) }

// IsWithoutCommand reports whether neither the image nor the request has a command.
func IsWithoutCommand(err error) bool {
	// Error response from daemon: No command specified (later: no command specified)
	return IsImpossible(err) && strings.Contains(strings.ToLower(err.Error()), "no command specified")
}

// IsUnreachable reports whether the engine did not answer completely. The engine may or
// may not have carried out the request.
func IsUnreachable(err error) bool {
	if err == nil {
		return false
	}
	// A timeout of the call itself, and the errors of the client's decoder when the
	// connection breaks during an answer.
	for _, lost := range []error{context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, lost) {
			return true
		}
	}
	_, broken := errors.AsType[*json.SyntaxError](err)
	return broken || client.IsErrConnectionFailed(err)
}

// removalInProgress is in the message of a second request to remove a container.
const removalInProgress = "is already in progress"

// busyTexts are messages of daemons that return no error class for a busy resource.
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
	removalInProgress,
	// remove X: volume is in use - [...] (409 today, the same)
	"volume is in use",
}

// IsBusy reports whether a removal failed only because the resource is still in use, or
// because the daemon was too slow. Another attempt may succeed.
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

// IsRefused reports whether the daemon rejects the request or the client. Another attempt
// cannot succeed.
func IsRefused(err error) bool {
	return err != nil && (cerrdefs.IsInvalidArgument(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) || cerrdefs.IsNotImplemented(err))
}
