package plan

import (
	"slices"
	"testing"

	"gitlab-sysbox-executor/config"
)

func TestImageFill(t *testing.T) {
	cfg := config.Default()
	cfg.Images.ToolImage, cfg.Images.Users, cfg.Storage.Driver = "tools/buildah", []string{"1000", "33"}, "overlay"
	f, err := ImageFill(cfg, "/a/file")
	if err != nil || !slices.Equal(f.Users, []int{0, 1000, 33}) || !slices.Equal(f.Drivers, []string{"vfs", "overlay"}) ||
		f.Runtime != cfg.Runtime || f.Image.Reference != "tools/buildah" || f.Credentials.File != "/a/file" || len(f.Image.Policies) != 1 {
		t.Errorf("%+v %v", f, err)
	}
}
