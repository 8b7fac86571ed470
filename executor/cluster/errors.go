package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/containerd/errdefs"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// wrap adds the operation to an error and gives it a class of containerd/errdefs, as the Docker client does.
func (c *Client) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	class := classOf(err)
	if errors.Is(class, errdefs.ErrUnavailable) {
		return fmt.Errorf("%s: the API server at %s does not answer: %w: %w", doing, c.config.Host, err, class)
	}
	if class != nil {
		return &classed{fmt.Errorf("%s: %w", doing, err), class}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// classed is an error with a class that its text does not repeat.
type classed struct{ err, class error }

func (e *classed) Error() string   { return e.err.Error() }
func (e *classed) Unwrap() []error { return []error{e.err, e.class} }

func classOf(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return errdefs.ErrNotFound
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return errdefs.ErrConflict
	case apierrors.IsUnauthorized(err):
		return errdefs.ErrUnauthenticated
	case apierrors.IsForbidden(err):
		return errdefs.ErrPermissionDenied
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return errdefs.ErrInvalidArgument
	case apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsInternalError(err):
		return errdefs.ErrUnavailable
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return errdefs.ErrUnavailable
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return errdefs.ErrUnavailable
	}
	return nil
}

func isGone(err error) bool { return err != nil && errdefs.IsNotFound(err) }

// Message is the API server's own message, without the operation; empty if the error is not from there.
func Message(err error) string {
	if s, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return s.ErrStatus.Message
	}
	return ""
}
