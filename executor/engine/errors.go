package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// wrap says what was being done, and names the socket when nobody answers on it.
func (e *Engine) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if client.IsErrConnectionFailed(err) {
		// The client's own message names the host and asks whether the daemon runs.
		return fmt.Errorf("%s: the Docker Engine at %s cannot be reached (%w)", doing, e.host, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// IsNotFound tells that the thing named does not exist (any more).
func IsNotFound(err error) bool { return err != nil && cerrdefs.IsNotFound(err) }

// IsConflict tells that the thing is in use, or that its name is taken.
func IsConflict(err error) bool { return err != nil && cerrdefs.IsConflict(err) }

// IsUnreachable tells that no engine answered.
func IsUnreachable(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if client.IsErrConnectionFailed(err) {
			return true
		}
	}
	return false
}

// busyTexts are messages of daemons that give a busy resource no class of its own.
var busyTexts = []string{
	// error while removing network: network X id ... has active endpoints (20.10 answers 403 with it)
	"has active endpoints",
	// remove X: volume is in use - [...]
	"volume is in use",
	// removal of container X is already in progress
	"already in progress",
	// failed to remove root filesystem: ... device or resource busy
	"device or resource busy",
	// unlinkat ...: directory not empty
	"directory not empty",
}

// IsBusy tells that a removal failed only because something still uses the thing,
// or because the daemon was too slow to answer: it is worth another try.
func IsBusy(err error) bool {
	if err == nil {
		return false
	}
	if IsConflict(err) || cerrdefs.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, t := range busyTexts {
		if strings.Contains(err.Error(), t) {
			return true
		}
	}
	return false
}
