package image

import (
	"errors"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// maxReference is longer than any name that an engine accepts: 255 characters of repository,
// 128 of tag, and a digest.
const maxReference = 512

// Check returns what is wrong with the name or ID of an image. The error does not repeat the
// name, because anybody may have written it.
func Check(ref string) error {
	if len(ref) > maxReference {
		return errors.New("it is too long")
	}
	if IsID(ref) {
		return nil
	}
	if strings.HasPrefix(ref, "sha256:") && !strings.Contains(ref, "/") { // otherwise it is a host name
		return errors.New("it begins like an image's ID, which has 64 hexadecimal digits behind sha256: and no more")
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err == nil && reference.Domain(named) == "" { // the library treats a host with an underscore as a folder
		return errors.New("the part before the first slash is not a host name")
	}
	if errors.Is(err, reference.ErrNameNotCanonical) || errors.Is(err, reference.ErrNameContainsUppercase) ||
		errors.Is(err, reference.ErrNameTooLong) || errors.Is(err, reference.ErrReferenceInvalidFormat) {
		return err
	}
	if err != nil {
		return reference.ErrReferenceInvalidFormat
	}
	return nil
}

// IsID reports whether ref is a complete image ID: sha256:... or only its digits.
func IsID(ref string) bool { return idOf(ref) != "" }

// Other names of Docker Hub's registry, and its default folder and tag
// (distribution/reference, normalize.go; moby, registry/config.go).
const (
	dockerHub      = "docker.io"
	officialFolder = "library/"
	defaultTag     = "latest"
)

var dockerHubHosts = []string{"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

// split splits a name into the parts of its canonical form. A name without a tag has a digest.
// Path is empty if ref is not a name.
func split(ref string) (host, path, tag, digest string) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", "", ""
	}
	named = reference.TagNameOnly(named)
	host, path = canonicalHost(reference.Domain(named)), reference.Path(named)
	if host == dockerHub && !strings.Contains(path, "/") {
		path = officialFolder + path
	}
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		digest = d.Digest().String()
	}
	return host, path, tag, digest
}

// canonicalHost is a registry's host[:port] as in [Canonical]. A name of one label keeps its
// port: without the port, it would be part of a path on Docker Hub.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	switch {
	case slices.Contains(dockerHubHosts, host):
		return dockerHub
	case host != "" && host != "localhost" && !strings.ContainsAny(host, ".:"):
		return host + ":443"
	}
	return host
}

// idOf is the ID in ref; empty if ref is a name.
func idOf(ref string) imageID {
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return ""
	}
	if _, named := parsed.(reference.Named); named {
		return ""
	}
	return imageID(parsed.String())
}

// ForEngine returns ref in a form that has only one meaning for an engine. An engine may treat a
// short name such as "cafe" as the beginning of an image ID (moby, daemon/images, GetImage). The
// registry keeps its spelling, because the engine's settings for it (insecure-registries,
// certs.d) depend on that.
func ForEngine(ref string) string {
	if id := idOf(ref); id != "" {
		return string(id)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

// Whole returns a name with its registry and tag, as registry programs write it. An image ID is
// an error. The error does not repeat the name.
func Whole(ref string) (string, error) {
	if err := Check(ref); err != nil {
		return "", err
	}
	if IsID(ref) {
		return "", errors.New("it is an image's ID, which no registry knows")
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	return reference.TagNameOnly(named).String(), nil
}

// Repository is the name of an image without tag and digest.
func Repository(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return named.Name()
}

// Path is registry/path as in [Canonical]; empty for an ID.
func Path(ref string) string {
	host, path, _, _ := split(ref)
	if path == "" {
		return ""
	}
	return host + "/" + path
}
