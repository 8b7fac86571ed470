package engine

import (
	"context"
	"io"

	dockerimage "github.com/docker/docker/api/types/image"
)

// ImportImage makes an image of one layer from a tar archive of a root file system, under the
// name ref, and returns its ID. An image that had the name before loses it.
func (e *Engine) ImportImage(ctx context.Context, ref string, archive io.Reader) (id string, err error) {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return "", err
	}
	defer cancel()
	doing := "importing image " + ref
	r, err := e.client.ImageImport(ctx, dockerimage.ImportSource{Source: archive, SourceName: "-"}, ref, dockerimage.ImportOptions{})
	if err != nil {
		return "", e.wrap(doing, err)
	}
	defer r.Close()
	if err := eachProgress(r, func(Progress) {}); err != nil {
		return "", e.wrap(doing, err)
	}
	img, err := e.InspectImage(ctx, ref, "")
	return img.ID, err
}
