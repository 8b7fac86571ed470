// Package image is what a job asks for of images: their names, which of them the
// administrator allows, when they are pulled, and with which credentials. It speaks to
// no engine and no registry. Policies, credentials and lines of the log are those of
// GitLab's Docker executor (gitlab-runner, helpers/docker/auth).
package image

// Policy says when an image is pulled.
type Policy string

// The policies, by the names that GitLab CI gives them.
const (
	Always       Policy = "always"
	IfNotPresent Policy = "if-not-present"
	Never        Policy = "never"
)

// Request is an image that a job asks for.
type Request struct {
	Reference string // one that Check accepts
	Platform  string // os/architecture[/variant], or empty
	// Policies are tried in order until one yields the image. For an image given
	// by ID they do not count: no registry knows it.
	Policies []Policy
	// Credentials are looked through when the image is pulled.
	Credentials Sources
}

// Credentials are what a registry asks for: a user name with a password, or a
// token.
type Credentials struct {
	Username, Password string
	IdentityToken      string // for the registry's token server
	RegistryToken      string // for the registry itself
	Server             string
}

// Empty tells that there is nothing to show a registry.
func (c Credentials) Empty() bool {
	return c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == ""
}

// String holds no secret.
func (c Credentials) String() string { return "[credentials for " + c.Server + "]" }

// GoString holds no secret.
func (c Credentials) GoString() string { return c.String() }
