// Package image handles the image settings of a job: names, the administrator's rules, pull
// policies and credentials. It does not connect to an engine or a registry. Policies,
// credentials and log lines are those of GitLab's Docker executor (gitlab-runner,
// helpers/docker/auth).
package image

// Policy decides when an image is pulled.
type Policy string

// The policies, with their names in GitLab CI.
const (
	Always       Policy = "always"
	IfNotPresent Policy = "if-not-present"
	Never        Policy = "never"
)

// Request is a request of a job for an image.
type Request struct {
	Reference string // valid according to Check
	Platform  string // os/architecture[/variant], or empty
	// Policies are tried in order until one succeeds. They do not apply to an image ID,
	// because registries do not know IDs.
	Policies []Policy
	// Credentials are searched when the image is pulled.
	Credentials Sources
}

// Credentials are a login for a registry: a user name with a password, or a token.
type Credentials struct {
	Username, Password string
	IdentityToken      string // for the registry's token server
	RegistryToken      string // for the registry itself
	Server             string
}

// Empty reports whether there are no credentials.
func (c Credentials) Empty() bool {
	return c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == ""
}

// String contains no secret.
func (c Credentials) String() string { return "[credentials for " + c.Server + "]" }

// GoString contains no secret.
func (c Credentials) GoString() string { return c.String() }
