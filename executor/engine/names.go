package engine

import (
	"context"
	"net/http"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// mostOfNames limits one answer about images, in bytes: enough for a list of the IDs of
// some 200 000 images.
const mostOfNames = 16 << 20

// namesOnly returns the members of an answer that are read, by the path of the request.
// None of them has text of an image's author.
func namesOnly(path string) []string {
	if strings.HasSuffix(path, "/images/json") {
		return []string{"Id"}
	}
	return []string{"Id", "RepoTags", "RepoDigests", "Size"}
}

// newNames makes a client for requests for the names of images.
func newNames(options []client.Opt) (*client.Client, error) {
	return newThrough(func(t http.RoundTripper) http.RoundTripper { return picking{t, mostOfNames, namesOnly} }, options)
}

// NamedImage are the names of a local image.
type NamedImage struct {
	ID      string
	Tags    []string // name:tag
	Digests []string // name@sha256:...
	Size    int64    // bytes, including layers shared with other images
}

// ImageNames looks up an image's names, whatever the size of its description; the error is
// IsNotFound if there is no such image. Platform is as for InspectImage.
func (e *Engine) ImageNames(ctx context.Context, ref, platform string) (NamedImage, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	options, err := ofPlatform(ctx, e.names, platform)
	if err != nil {
		return NamedImage{}, err
	}
	i, err := e.names.ImageInspect(ctx, ref, options...)
	if err != nil {
		return NamedImage{}, e.wrap("looking up image "+ref, err)
	}
	return NamedImage{ID: i.ID, Tags: i.RepoTags, Digests: i.RepoDigests, Size: i.Size}, nil
}

// ImageIDs lists all local images, including those without a name.
func (e *Engine) ImageIDs(ctx context.Context) ([]string, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.names.ImageList(ctx, image.ListOptions{All: true})
	if err != nil {
		return nil, e.wrap("listing images", err)
	}
	var all []string
	for _, i := range list {
		all = append(all, i.ID)
	}
	return all, nil
}

// ImageUsed reports whether a container, running or not, was made from the image, or from
// an image that was built from it on this engine.
func (e *Engine) ImageUsed(ctx context.Context, id string) (bool, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.names.ContainerList(ctx, container.ListOptions{All: true, Limit: 1, Filters: filters.NewArgs(filters.Arg("ancestor", id))})
	return len(list) > 0, e.wrap("listing containers", err)
}

// RemoveImage removes a name of an image, and the image itself with its last name. An ID
// removes an image that has at most one name. The error is IsConflict if a container or
// another image needs it.
func (e *Engine) RemoveImage(ctx context.Context, name string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	_, err := e.client.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true}) // as docker rmi does
	return e.wrap("removing image "+name, err)
}
