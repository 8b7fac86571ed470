package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"gitlab-sysbox-executor/executor/ociimage"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpack returns the files of a tar archive.
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// From the index, every blob is found by its digest, and the only layer has the program.
func TestArchive(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archives [2][]byte
	for n := range archives {
		archive := filepath.Join(t.TempDir(), "archive")
		if err := write(ociimage.Image{Name: "example.com/agent:1", Arch: "arm64"}, agent, archive); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[n], err = os.ReadFile(archive); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of one program differ")
	}
	files := unpack(t, archives[0])
	blob := func(d v1.Descriptor, into any) []byte {
		text := files["blobs/sha256/"+d.Digest.Encoded()]
		if digest.FromBytes(text) != d.Digest || int64(len(text)) != d.Size {
			t.Errorf("%+v has %d bytes", d, len(text))
		}
		if into != nil {
			if err := json.Unmarshal(text, into); err != nil {
				t.Error(err)
			}
		}
		return text
	}
	var index v1.Index
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 || index.Manifests[0].Annotations[v1.AnnotationRefName] != "example.com/agent:1" {
		t.Fatalf("%+v, %v", index, err)
	}
	var manifest v1.Manifest
	blob(index.Manifests[0], &manifest)
	var config v1.Image
	blob(manifest.Config, &config)
	z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0], nil)))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil || config.RootFS.DiffIDs[0] != digest.FromBytes(layer) || config.Architecture != "arm64" || string(unpack(t, layer)["agent"]) != "program" {
		t.Errorf("%+v, %v", config, err)
	}
}
