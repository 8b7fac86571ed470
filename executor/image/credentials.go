package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/lazyregexp"
)

// Sources are the sources of credentials for registries. Of all credentials for an image,
// those for the longest part of its name are used; if two match equally, those of the first
// source in this list.
type Sources struct {
	// AuthConfig is the text of a Docker client's config.json, from the job's variable
	// DOCKER_AUTH_CONFIG.
	AuthConfig string `json:"-"`
	// AuthConfigHelpers allows credential helpers, which are programs of this machine, in
	// that text.
	AuthConfigHelpers bool
	// Home is the home folder of the Runner's user, which may contain such a file.
	Home string
	// File is the path of a Docker client's config.json that replaces the user's; empty for
	// the user's.
	File string
	// Payload are the credentials for GitLab's registries that came with the job.
	Payload []Login `json:"-"`
}

// Login is the login of a registry.
type Login struct{ Registry, Username, Password string }

// The names of the sources in the job log, as in GitLab's Docker executor.
const (
	authConfigSource = "$DOCKER_AUTH_CONFIG"
	payloadSource    = "job payload (GitLab Registry)"
)

// String contains no secret.
func (s Sources) String() string { return "[credentials]" }

// GoString contains no secret.
func (s Sources) GoString() string { return s.String() }

// String contains no secret.
func (l Login) String() string { return "[credentials for " + l.Registry + "]" }

// GoString contains no secret.
func (l Login) GoString() string { return l.String() }

// Found are the credentials to use, and their source. Source is empty if there are none.
type Found struct {
	Credentials
	Source string
}

// entry has the credentials for all images below a path, or the helper that has them.
type entry struct {
	path string // in the format of Path
	Found
	helper helper // asked for the credentials if set
}

// Find selects the credentials for an image and logs their source. They are empty if there are
// none. A source that cannot be read is left out with a warning, except if that may be an
// attack.
func (s Sources) Find(ctx context.Context, ref string, log logrus.FieldLogger) (Found, error) {
	found, err := s.find(ctx, ref, log)
	if found.Source != "" {
		log.Infof("Authenticating with credentials from %s", found.Source)
	}
	return found, err
}

func (s Sources) find(ctx context.Context, ref string, log logrus.FieldLogger) (Found, error) {
	var all []entry
	for _, source := range []struct {
		name    string
		entries func(context.Context) ([]entry, error)
		blame   func(string, ...any) error
	}{
		{authConfigSource, s.fromAuthConfig, fault.Jobf},
		{"the home folder of the Runner's user", s.fromHome, fault.Systemf},
		{payloadSource, s.fromPayload, fault.Systemf},
	} {
		entries, err := source.entries(ctx)
		if errors.Is(err, errHelperName) {
			return Found{}, source.blame("credentials from %s: %w", source.name, err)
		}
		if errors.Is(err, errHelpersOff) {
			log.Warnf("%s names credsStore or credHelpers, which this runner does not start for a job (job.credential_helpers).", source.name)
		} else if err != nil {
			unusable(log, source.name, err)
		}
		all = append(all, entries...)
	}
	for p := Path(ref); p != ""; p = parent(p) {
		for _, e := range all {
			if e.path != p {
				continue
			}
			found, err := e.ask(ctx)
			if err != nil {
				unusable(log, e.Source, err)
			} else if !found.Empty() {
				return found, nil
			}
		}
	}
	return Found{}, nil
}

func unusable(log logrus.FieldLogger, source string, err error) {
	log.Warnf("Failed to resolve credentials from %s: %v. Credentials from this source will not be used.", source, err)
}

func (e entry) ask(ctx context.Context) (Found, error) {
	if e.helper.name == "" {
		return e.Found, nil
	}
	c, err := e.helper.get(ctx, e.Server)
	return Found{c, e.Source}, err
}

func parent(p string) string {
	n := strings.LastIndexByte(p, '/')
	return p[:max(n, 0)]
}

func (s Sources) fromPayload(context.Context) ([]entry, error) {
	var all []entry
	for _, l := range s.Payload {
		all = append(all, entry{path: registryPath(l.Registry), Found: Found{
			Credentials{Username: l.Username, Password: l.Password, Server: l.Registry}, payloadSource,
		}})
	}
	return all, nil
}

// errHelpersOff means that the job's text names credential helpers, which are not allowed.
var errHelpersOff = errors.New("it names credential helpers")

func (s Sources) fromAuthConfig(ctx context.Context) ([]entry, error) {
	c, err := parseConfig(s.AuthConfig)
	if err != nil {
		return nil, err
	}
	off := !s.AuthConfigHelpers && (c.CredentialsStore != "" || len(c.CredentialHelpers) > 0)
	if off {
		c.CredentialsStore, c.CredentialHelpers = "", nil
	}
	all, err := fromConfig(ctx, c, authConfigSource)
	if off {
		err = errors.Join(err, errHelpersOff)
	}
	return all, err
}

func (s Sources) fromHome(ctx context.Context) ([]entry, error) {
	if s.File != "" {
		return fromFile(ctx, s.File)
	}
	if s.Home == "" {
		return nil, nil
	}
	for _, name := range []string{".docker/config.json", ".dockercfg"} {
		file := filepath.Join(s.Home, name)
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return fromFile(ctx, file)
		}
	}
	return nil, nil
}

func fromFile(ctx context.Context, file string) ([]entry, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all, err := fromConfig(ctx, c, file)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return all, err
}

// parseConfig parses the text of a config.json. An empty text is an empty config.
func parseConfig(text string) (*configfile.ConfigFile, error) {
	c := new(configfile.ConfigFile)
	if strings.TrimSpace(text) == "" {
		return c, nil
	}
	if err := c.LoadFromReader(strings.NewReader(text)); err != nil {
		return nil, fmt.Errorf("it is not the text of a Docker config.json: %w", err)
	}
	return c, nil
}

// fromConfig returns the entries of a config.json. A helper for one server overrides the store
// for all servers, which overrides the file itself.
func fromConfig(ctx context.Context, c *configfile.ConfigFile, source string) ([]entry, error) {
	servers := map[string]entry{}
	asking := func(h helper, server string) {
		servers[server] = entry{helper: h, Found: Found{Credentials{Server: server}, source}}
	}
	job := source == authConfigSource
	store := helper{c.CredentialsStore, job}
	for server, a := range c.AuthConfigs {
		found := Credentials{
			Username: a.Username, Password: a.Password, Server: server,
			IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
		}
		if found.Empty() && store.name != "" { // with a store, docker login writes empty entries
			asking(store, server)
		} else {
			servers[server] = entry{Found: Found{found, source}}
		}
	}
	var failed error
	if store.name != "" {
		var stored []string
		stored, failed = store.list(ctx)
		for _, server := range stored {
			asking(store, server)
		}
	}
	for server, name := range c.CredentialHelpers {
		h := helper{name, job}
		if err := h.check(); err != nil {
			return nil, err
		}
		asking(h, server)
	}
	var all []entry
	for _, server := range slices.Sorted(maps.Keys(servers)) {
		e := servers[server]
		e.path = registryPath(server)
		all = append(all, e)
	}
	return all, failed
}

var scheme = lazyregexp.New(`(?i)^https?://`)

// registryPath converts a server of a config.json or of the payload to the format of [Path]. An
// address with a scheme means the whole registry, whatever its path
// (https://index.docker.io/v1/ is Docker Hub). An address without one may be a part of a
// registry.
func registryPath(server string) string {
	whole := scheme().ReplaceAllString(server, "")
	host, rest, _ := strings.Cut(strings.Trim(whole, "/"), "/")
	host = canonicalHost(host)
	if n := strings.LastIndexByte(rest, ':'); n > strings.LastIndexByte(rest, '/') {
		rest = strings.TrimRight(rest[:n], "/") // remove the tag
	}
	if whole != server || rest == "" {
		return host
	}
	return host + "/" + rest
}
