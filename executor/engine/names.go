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

// mostOfNames bounds what is taken of one answer on images, in bytes: a list with the
// IDs of some 200 000 images.
const mostOfNames = 16 << 20

// namesOnly are the members that are taken of an answer, by the path of the question:
// nothing that an image's author wrote.
func namesOnly(path string) []string {
	if strings.HasSuffix(path, "/images/json") {
		return []string{"Id"}
	}
	return []string{"Id", "RepoTags", "RepoDigests", "Size"}
}

// newNames makes a client that asks for names of images.
func newNames(options []client.Opt) (*client.Client, error) {
	return newThrough(func(t http.RoundTripper) http.RoundTripper { return picking{t, mostOfNames, namesOnly} }, options)
}

// NamedImage is an image as the engine calls it.
type NamedImage struct {
	ID      string
	Tags    []string // name:tag
	Digests []string // name@sha256:...
	Size    int64    // bytes, with what it shares with other images
}

// ImageNames looks up an image's names, however much else it says of itself; IsNotFound
// when it is not there. Platform is as for InspectImage.
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

// ImageIDs lists all images that the engine holds, also those without a name.
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

// ImageUsed tells whether a container, running or not, was made from the image, or from
// one that was built from it on this engine.
func (e *Engine) ImageUsed(ctx context.Context, id string) (bool, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.names.ContainerList(ctx, container.ListOptions{All: true, Limit: 1, Filters: filters.NewArgs(filters.Arg("ancestor", id))})
	return len(list) > 0, e.wrap("listing containers", err)
}

// RemoveImage takes a name from an image, and removes the image with its last name;
// an ID removes one that has no more than one name. It is refused (IsConflict) where a
// container or another image needs what would go.
func (e *Engine) RemoveImage(ctx context.Context, name string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	_, err := e.client.ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: true}) // as docker rmi
	return e.wrap("removing image "+name, err)
}
