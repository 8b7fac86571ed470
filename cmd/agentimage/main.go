// Command agentimage writes the image of the agent for pods of Kubernetes, as an archive in the OCI layout: nothing but
// the static program at /agent. It needs no engine.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab-sysbox-executor/executor/ociimage"
)

func main() {
	i := ociimage.Image{Config: v1.ImageConfig{Entrypoint: []string{"/agent"}}}
	flag.StringVar(&i.Name, "name", "gitlab-sysbox-executor-agent:latest", "name of the image, with a tag")
	flag.StringVar(&i.Arch, "arch", runtime.GOARCH, "architecture of the program")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: agentimage [--name NAME] [--arch ARCH] AGENT ARCHIVE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(i, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "agentimage:", err)
		os.Exit(1)
	}
}

func write(i ociimage.Image, agent, archive string) (err error) {
	program, err := os.ReadFile(agent)
	if err != nil {
		return err
	}
	layer, err := layerOf(program)
	if err != nil {
		return err
	}
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return i.Write(out, bytes.NewReader(layer))
}

// layerOf is the image's only layer.
func layerOf(program []byte) ([]byte, error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(program)
	}
	err = errors.Join(err, w.Close(), z.Close())
	return packed.Bytes(), err
}
