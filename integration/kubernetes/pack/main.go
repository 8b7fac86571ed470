// Command pack makes an image of a root file system. It is a program of its own, because the digests of a large layer take
// minutes with the race detector of the tests.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"gitlab-sysbox-executor/executor/ociimage"
)

func main() {
	i := ociimage.Image{Arch: runtime.GOARCH}
	flag.StringVar(&i.Name, "name", "", "name of the image")
	flag.StringVar(&i.Config.User, "user", "", "its user")
	flag.StringVar(&i.Config.WorkingDir, "dir", "", "its working folder")
	entrypoint := flag.String("entrypoint", "", "its entrypoint, one word")
	env := flag.String("env", "", "further variables, separated by commas")
	flag.Parse()
	i.Config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, strings.FieldsFunc(*env, func(r rune) bool { return r == ',' })...)
	if *entrypoint != "" {
		i.Config.Entrypoint = []string{*entrypoint}
	}
	if err := pack(i, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack writes the archive of an image unless it is there.
func pack(i ociimage.Image, tarball, archive string) (err error) {
	if _, err := os.Stat(archive); err == nil {
		return nil
	}
	layer, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer layer.Close()
	out, err := os.CreateTemp(filepath.Dir(archive), "oci-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	if err := errors.Join(i.Write(out, layer), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), archive)
}
