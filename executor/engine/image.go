package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/jsonmessage"

	"gitlab-sysbox-executor/executor/image"
)

// Image describes a local image.
type Image struct {
	ID         string
	Digests    []string // name@sha256:...
	Platform   string   // os/architecture[/variant]
	User       string
	WorkingDir string
	Entrypoint []string
	Cmd        []string
	Env        []string
	Labels     map[string]string
	Ports      []string // exposed, number/protocol
	// HasHealthcheck is true if the image has a health check.
	HasHealthcheck bool
	// Length is the size of the engine's description of the image, in bytes. Labels and
	// variables make up most of it, and every container of the image has them, too.
	Length int
}

// mostOfImage limits that description, in bytes. The largest known images (of buildpacks)
// have some hundred kilobytes of labels.
const mostOfImage = 1 << 20

// mostOfPull limits each message of the engine during a pull, in bytes. A message may
// contain an answer of the registry.
const mostOfPull = 1 << 20

// platformInspect is the first API version with a platform parameter for image lookup.
// Older engines reject the parameter.
const platformInspect = "1.49"

// InspectImage looks up a local image; the error is IsNotFound if there is none. Platform
// (os/architecture[/variant], or empty) selects one of several images with the same name.
// Engines that hold only one image per name return it whatever its platform is.
func (e *Engine) InspectImage(ctx context.Context, ref, platform string) (Image, error) {
	e.oneImage.Lock()
	defer e.oneImage.Unlock()
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	var text bytes.Buffer
	options, err := ofPlatform(ctx, e.asking, platform)
	if err != nil {
		return Image{}, err
	}
	options = append(options, client.ImageInspectWithRawResponse(&text))
	i, err := e.asking.ImageInspect(ctx, ref, options...)
	if err != nil {
		return Image{}, e.wrap("looking up image "+ref, err)
	}
	found := Image{Length: text.Len(), ID: i.ID, Digests: i.RepoDigests, Platform: strings.Trim(i.Os+"/"+i.Architecture+"/"+i.Variant, "/")}
	if c := i.Config; c != nil {
		found.User, found.WorkingDir = c.User, c.WorkingDir
		for port := range c.ExposedPorts {
			found.Ports = append(found.Ports, port)
		}
		found.HasHealthcheck = c.Healthcheck != nil && len(c.Healthcheck.Test) > 0 && c.Healthcheck.Test[0] != "NONE"
		found.Entrypoint, found.Cmd, found.Env, found.Labels = c.Entrypoint, c.Cmd, c.Env, c.Labels
	}
	return found, nil
}

// ofPlatform selects one of several images with the same name, if the engine supports it.
func ofPlatform(ctx context.Context, c *client.Client, text string) ([]client.ImageInspectOption, error) {
	p, err := platform(text)
	if p == nil || err != nil {
		return nil, err
	}
	c.NegotiateAPIVersion(ctx) // does nothing if the version is known
	if versions.LessThan(c.ClientVersion(), platformInspect) {
		return nil, nil
	}
	return []client.ImageInspectOption{client.ImageInspectWithPlatform(p)}, nil
}

// Progress is one progress report for one layer of a pull. Sizes are in bytes, 0 if unknown.
type Progress struct {
	Layer          string
	Status         string
	Current, Total int64
}

// Pull pulls an image and calls progress for every report, from one goroutine. It has no
// time limit except ctx.
func (e *Engine) Pull(ctx context.Context, ref, platform string, c image.Credentials, progress func(Progress)) error {
	options := dockerimage.PullOptions{Platform: platform}
	if !c.Empty() {
		var err error
		options.RegistryAuth, err = registry.EncodeAuthConfig(registry.AuthConfig{
			Username: c.Username, Password: c.Password, ServerAddress: c.Server,
			IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
		})
		if err != nil {
			return e.wrap("pulling image "+ref, err)
		}
	}
	r, err := e.client.ImagePull(ctx, ref, options)
	if err != nil {
		return e.wrap("pulling image "+ref, err)
	}
	defer r.Close()
	return e.wrap("pulling image "+ref, eachProgress(r, progress))
}

// eachProgress reads the reports of a pull. Their texts come from the registry. If the pull fails, the last
// report is the error.
func eachProgress(r io.Reader, progress func(Progress)) error {
	body := &bounded{Reader: r, most: mostOfPull}
	d := json.NewDecoder(body)
	for {
		body.left = mostOfPull
		var m jsonmessage.JSONMessage
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the engine's progress: %w", err)
		}
		if m.Error != nil {
			return m.Error
		}
		p := Progress{Layer: m.ID, Status: m.Status}
		if m.Progress != nil && m.Progress.Units == "" { // otherwise the numbers are seconds
			p.Current, p.Total = m.Progress.Current, m.Progress.Total
		}
		progress(p)
	}
}
