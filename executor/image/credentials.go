package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/fault"
)

// Sources are where credentials for registries come from. Of all that have some
// for an image, those for the longest part of its name win; between equals, the
// source that stands first here.
type Sources struct {
	// AuthConfig is a Docker client's config.json as text: the job's variable
	// DOCKER_AUTH_CONFIG.
	AuthConfig string `json:"-"`
	// AuthConfigHelpers lets that text name credential helpers, programs of this
	// machine that are asked for credentials.
	AuthConfigHelpers bool
	// Home is the home folder of the Runner's user, who may have such a file.
	Home string
	// File is a Docker client's config.json that is read in place of the user's
	// own; empty for that one.
	File string
	// Payload is what GitLab gave with the job, for its own registries.
	Payload []Login `json:"-"`
}

// Login is a user of a registry.
type Login struct{ Registry, Username, Password string }

// What the job log calls the sources, as GitLab's Docker executor does.
const (
	authConfigSource = "$DOCKER_AUTH_CONFIG"
	payloadSource    = "job payload (GitLab Registry)"
)

// String holds no secret.
func (s Sources) String() string { return "[credentials]" }

// GoString holds no secret.
func (s Sources) GoString() string { return s.String() }

// String holds no secret.
func (l Login) String() string { return "[credentials for " + l.Registry + "]" }

// GoString holds no secret.
func (l Login) GoString() string { return l.String() }

// Found are credentials to use, and where they are from; none without a Source.
type Found struct {
	Credentials
	Source string
}

// entry has credentials for all images below a path, or knows who has them.
type entry struct {
	path string // as Path gives it
	Found
	helper helper // asked for them where there is one
}

// Find picks the credentials for an image, empty ones where there are none, and
// says in the log where they are from. A source that cannot be read is left out
// with a warning, except for what may be an attack.
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

// errHelpersOff tells that a job's text names helpers and may not.
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

// parseConfig reads the text of a config.json; none is an empty one.
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

// fromConfig takes the entries of a config.json. For one server a helper of its own
// wins over the store for all, and that over the file itself.
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
		if found.Empty() && store.name != "" { // docker login leaves such an entry beside a store
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

var scheme = regexp.MustCompile(`(?i)^https?://`)

// registryPath is a server of a config.json or of the payload as [Path]
// writes it: an address with a scheme means a whole registry, whatever path it
// has (https://index.docker.io/v1/ is Docker Hub's), one without may be a part
// of a registry.
func registryPath(server string) string {
	whole := scheme.ReplaceAllString(server, "")
	host, rest, _ := strings.Cut(strings.Trim(whole, "/"), "/")
	host = canonicalHost(host)
	if n := strings.LastIndexByte(rest, ':'); n > strings.LastIndexByte(rest, '/') {
		rest = strings.TrimRight(rest[:n], "/") // without a tag
	}
	if whole != server || rest == "" {
		return host
	}
	return host + "/" + rest
}
