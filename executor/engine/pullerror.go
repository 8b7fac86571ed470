package engine

import (
	"strings"

	cerrdefs "github.com/containerd/errdefs"
)

// Engines return no error class for most failures of a pull. The text depends on the
// registry's answer.

// passing are messages about temporary failures of a registry or of the network.
var passing = []string{
	// dial tcp 127.0.0.1:5000: connect: connection refused
	// dial tcp: lookup registry.example on 127.0.0.53:53: no such host
	"dial tcp",
	"connection refused",
	"no such host",
	"i/o timeout",
	"tls handshake timeout",
	// net/http: request canceled (Client.Timeout exceeded while awaiting headers)
	"client.timeout exceeded",
	"request canceled",
	// read tcp 127.0.0.1:4711->127.0.0.1:5000: read: connection reset by peer
	"connection reset",
	// received unexpected HTTP status: 503 Service Unavailable
	"unexpected http status: 5",
}

// refused are messages about missing access. Another attempt cannot succeed.
var refused = []string{
	// Get "http://127.0.0.1:5000/v2/": unauthorized: authentication required
	"unauthorized",
	"authentication required",
	// Get "http://127.0.0.1:5000/v2/x/manifests/y": no basic auth credentials
	"no basic auth credentials",
	// pull access denied for x, repository does not exist or may require 'docker login': denied: ...
	"access denied",
	"denied: ",
	"insufficient_scope",
	// unexpected status from HEAD request to https://...: 403 Forbidden
	"403 forbidden",
}

// absent are messages about an image that the registry does not have.
var absent = []string{
	// manifest for x:y not found: manifest unknown: manifest unknown
	"manifest unknown",
	"name unknown",
	"not found",
	// no matching manifest for linux/arm64/v8 in the manifest list entries
	"no matching manifest",
	// image with reference x was found but does not match the specified platform
	"does not match the specified platform",
}

func says(err error, texts []string) bool {
	message := strings.ToLower(err.Error())
	for _, t := range texts {
		if strings.Contains(message, t) {
			return true
		}
	}
	return false
}

// IsPullRefused reports whether the registry does not accept the credentials.
func IsPullRefused(err error) bool {
	if err == nil || IsUnreachable(err) || says(err, passing) {
		return false
	}
	return cerrdefs.IsUnauthorized(err) || cerrdefs.IsPermissionDenied(err) || says(err, refused)
}

// IsPullAbsent reports whether the registry has no such image, or none for this platform,
// or the name is invalid.
func IsPullAbsent(err error) bool {
	if err == nil || IsUnreachable(err) || says(err, passing) {
		return false
	}
	return cerrdefs.IsNotFound(err) || cerrdefs.IsInvalidArgument(err) || says(err, absent)
}

// IsPullLasting reports whether an immediate second attempt cannot succeed, although the
// image exists: the disk is full, or the registry's rate limit is reached.
func IsPullLasting(err error) bool {
	return err != nil && says(err, []string{
		// failed to register layer: ... no space left on device
		"no space left on device",
		// toomanyrequests: You have reached your pull rate limit
		"toomanyrequests",
	})
}
