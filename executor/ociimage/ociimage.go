// Package ociimage writes container images as archives in the OCI layout (https://github.com/opencontainers/image-spec).
// It needs no engine.
package ociimage

import (
	"archive/tar"
	"compress/gzip"
	_ "crypto/sha256" // for the digests
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image describes an image of one layer.
type Image struct {
	Name   string // with a tag
	Arch   string // Go's name of the architecture
	Config v1.ImageConfig
}

// Write writes the archive of an image. The layer is a tar archive packed with gzip; it is read from its begin, three
// times. The same layer gives the same bytes.
func (i Image) Write(out io.Writer, layer io.ReadSeeker) error {
	packed, diff, err := digests(layer)
	if err != nil {
		return fmt.Errorf("the layer: %w", err)
	}
	platform := v1.Platform{OS: "linux", Architecture: i.Arch}
	config, err := describe(v1.MediaTypeImageConfig, v1.Image{
		Platform: platform, Config: i.Config, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
	})
	if err != nil {
		return err
	}
	manifest, err := describe(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: config.Descriptor, Layers: []v1.Descriptor{packed},
	})
	if err != nil {
		return err
	}
	top := manifest.Descriptor
	top.Platform = &platform
	// The second is containerd's name for the whole reference.
	top.Annotations = map[string]string{v1.AnnotationRefName: i.Name, "io.containerd.image.name": i.Name}
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{top}})
	if err != nil {
		return err
	}
	layout, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	for _, f := range []struct {
		name string
		text []byte
	}{{v1.ImageLayoutFile, layout}, {v1.ImageIndexFile, index}, {blob(config.Digest), config.text}, {blob(manifest.Digest), manifest.text}} {
		if err := header(w, f.name, int64(len(f.text))); err != nil {
			return err
		}
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	if err := header(w, blob(packed.Digest), packed.Size); err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(w, layer); err != nil {
		return err
	}
	return w.Close()
}

// digests describes the layer, and returns the digest of its tar archive.
func digests(layer io.ReadSeeker) (packed v1.Descriptor, diff digest.Digest, err error) {
	packed.MediaType = v1.MediaTypeImageLayerGzip
	if packed.Size, err = layer.Seek(0, io.SeekEnd); err != nil {
		return packed, "", err
	}
	if _, err = layer.Seek(0, io.SeekStart); err != nil {
		return packed, "", err
	}
	if packed.Digest, err = digest.FromReader(layer); err != nil {
		return packed, "", err
	}
	if _, err = layer.Seek(0, io.SeekStart); err != nil {
		return packed, "", err
	}
	z, err := gzip.NewReader(layer)
	if err != nil {
		return packed, "", err
	}
	diff, err = digest.FromReader(z)
	return packed, diff, err
}

// described is a blob with its descriptor.
type described struct {
	v1.Descriptor
	text []byte
}

func describe(mediaType string, content any) (described, error) {
	text, err := json.Marshal(content)
	return described{v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}, text}, err
}

func blob(d digest.Digest) string {
	return v1.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

func header(w *tar.Writer, name string, size int64) error {
	return w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg})
}
