package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
)

// ImageStores is the path of the shared images in a container. Neither systemd nor Sysbox
// mounts over it.
const ImageStores = "/opt/gitlab-sysbox-executor-images"

// ImageStore is the path of the store for a driver and a user ID. The stores of other users
// have the same images as root's with other owners: files that a user's programs see as root's
// must belong to the user (user_namespaces(7)).
func ImageStore(driver string, uid int) string {
	return path.Join(ImageStores, driver, strconv.Itoa(uid))
}

// Stores lists the stores of images, by storage driver and by the ID of the user who owns the
// files.
type Stores struct {
	Drivers []string `json:"drivers,omitempty"`
	Users   []int    `json:"users,omitempty"`
}

// For is the store for a user's programs; empty if there is none.
func (s Stores) For(driver string, uid int) string {
	if !slices.Contains(s.Drivers, driver) || !slices.Contains(s.Users, uid) {
		return ""
	}
	return ImageStore(driver, uid)
}

// StoredImage is an image in a store. Its size is in bytes, uncompressed.
type StoredImage struct {
	Reference string `json:"reference"`
	ID        string `json:"id"`
	Digest    string `json:"digest"` // of the manifest
	Size      int64  `json:"size"`
}

// mostParts limits the memory for a store's list. mostSize is larger than any disk, in bytes.
const (
	mostParts = 50_000
	mostSize  = 1 << 60
)

// ReadImages finds images in the text of a store's images.json and layers.json
// (containers/storage, images.go and layers.go). It fails if one of the references is missing.
func ReadImages(images, layers []byte, references []string) ([]StoredImage, error) {
	for name, list := range map[string][]byte{"images.json": images, "layers.json": layers} {
		if bytes.Count(list, []byte("{")) > mostParts {
			return nil, fmt.Errorf("the store's %s has more than %d objects", name, mostParts)
		}
	}
	type image struct {
		ID, Digest, Layer string
		Names             []string
	}
	var all []image
	if err := json.Unmarshal(images, &all); err != nil {
		return nil, fmt.Errorf("the store's images.json: %w", err)
	}
	var pile []struct {
		ID, Parent string
		Size       int64 `json:"diff-size"`
	}
	if err := json.Unmarshal(layers, &pile); err != nil {
		return nil, fmt.Errorf("the store's layers.json: %w", err)
	}
	parents, sizes := map[string]string{}, map[string]int64{}
	for _, l := range pile {
		parents[l.ID], sizes[l.ID] = l.Parent, l.Size
	}
	var found []StoredImage
	for _, ref := range references {
		n := slices.IndexFunc(all, func(i image) bool { return slices.Contains(i.Names, ref) })
		if n < 0 {
			return nil, fmt.Errorf("image %s is not in the store, though it was pulled", ref)
		}
		s := StoredImage{Reference: ref, ID: all[n].ID, Digest: all[n].Digest}
		for layer, depth := all[n].Layer, 0; layer != "" && depth <= len(pile); layer, depth = parents[layer], depth+1 {
			s.Size = min(s.Size+min(max(0, sizes[layer]), mostSize), mostSize)
		}
		found = append(found, s)
	}
	return found, nil
}
