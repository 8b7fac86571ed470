package image

import (
	"errors"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// maxReference is longer than any name that an engine takes: 255 characters of
// repository, 128 of tag, a digest.
const maxReference = 512

// Check says what is wrong with the name or ID of an image. The text does not
// repeat the name, which anybody may have written.
func Check(ref string) error {
	if len(ref) > maxReference {
		return errors.New("it is too long")
	}
	if IsID(ref) {
		return nil
	}
	if strings.HasPrefix(ref, "sha256:") && !strings.Contains(ref, "/") { // else it is a host's name
		return errors.New("it begins like an image's ID, which has 64 hexadecimal digits behind sha256: and no more")
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err == nil && reference.Domain(named) == "" { // the library takes a host with an underscore for a folder
		return errors.New("what is before its first slash is not the name of a host")
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

// IsID tells a whole image ID, sha256:... or its number alone, from a name.
func IsID(ref string) bool { return idOf(ref) != "" }

// The names by which Docker Hub's registry is known beside its own, and the folder
// and the tag that are meant where none is written (distribution/reference,
// normalize.go; moby, registry/config.go).
const (
	dockerHub      = "docker.io"
	officialFolder = "library/"
	defaultTag     = "latest"
)

var dockerHubHosts = []string{"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

// Canonical is the one spelling of all that mean the same image: the registry's name
// in lower case, without HTTPS's own port and as docker.io for Docker Hub, with the
// tag that is meant, and with the digest if there is one. An ID has its algorithm in
// front. What Check refuses is returned as it is.
func Canonical(ref string) string {
	if id := idOf(ref); id != "" {
		return string(id)
	}
	host, path, tag, digest := split(ref)
	if path == "" {
		return ref
	}
	name := host + "/" + path
	if tag != "" {
		name += ":" + tag
	}
	if digest != "" {
		name += "@" + digest
	}
	return name
}

// split takes a name apart in its canonical form. Only one with a digest has no tag;
// path is empty when ref is no name.
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

// canonicalHost is a registry's host[:port] as in [Canonical]. A name of one label
// keeps its port: without it, it would be a part of a path on Docker Hub.
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

// idOf is the ID that ref is; empty when it is a name.
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

// ForEngine is ref in a form that an engine cannot take for anything else: a short
// name such as "cafe" could be the beginning of an image's ID to it (moby,
// daemon/images, GetImage). The registry is spelled as in ref, since the engine's
// settings for it (insecure-registries, certs.d) are found by that.
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

// Whole is a name with its registry and its tag, as a registry's own tools write
// it. An image's ID is none. The error does not repeat the name.
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

// Repository is the name of an image without its tag.
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
