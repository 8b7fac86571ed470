// Package imageconfig reads the configuration of images from their registries, for a backend whose nodes pull the images.
package imageconfig

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab-sysbox-executor/executor/image"
)

// Config is what an image says about its processes.
type Config struct {
	Entrypoint, Command, Env []string
	Ports                    []string // exposed, number/protocol
	Labels                   map[string]string
}

// most bounds what is read of one answer of a registry, in bytes. Registries themselves take manifests of 4 MiB.
const most = 4 << 20

// Read reads the configuration of an image for this machine's architecture.
func Read(ctx context.Context, reference string, c image.Credentials) (Config, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return Config{}, err
	}
	login := authn.Anonymous
	if !c.Empty() {
		login = authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken})
	}
	found, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(login), remote.WithTransport(bounded{remote.DefaultTransport}),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}), remote.WithUserAgent("gitlab-sysbox-executor"))
	if err != nil {
		return Config{}, err
	}
	file, err := found.ConfigFile()
	if err != nil {
		return Config{}, fmt.Errorf("the configuration: %w", err)
	}
	f := file.Config
	return Config{f.Entrypoint, f.Cmd, f.Env, slices.Sorted(maps.Keys(f.ExposedPorts)), f.Labels}, nil
}

// bounded limits each answer: registries are chosen by jobs.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = limited{io.LimitReader(answer.Body, most), answer.Body}
	return answer, nil
}

type limited struct {
	io.Reader
	io.Closer
}
