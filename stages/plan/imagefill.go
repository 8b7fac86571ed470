package plan

import (
	"errors"
	"fmt"
	"strconv"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/image"
)

// ImageFill is how the configuration has the store filled.
func ImageFill(cfg *config.Config, authFile string) (executor.ImageFill, error) {
	i := cfg.Images
	if i.ToolImage == "" {
		return executor.ImageFill{}, errors.New("the configuration names no image with buildah or podman to fill the store with: write one as images.tool_image")
	}
	if err := image.Check(i.ToolImage); err != nil {
		return executor.ImageFill{}, fmt.Errorf("images.tool_image %.100q: %w", i.ToolImage, err)
	}
	credentials := image.Sources{Home: homeDir(), File: authFile}
	f := executor.ImageFill{
		Tool:    image.Request{Reference: i.ToolImage, Credentials: credentials},
		Runtime: cfg.Runtime, Drivers: []string{"vfs"}, Users: []int{0},
		Environment: i.Environment, Volumes: i.Volumes, Network: cfg.Network, Credentials: credentials,
	}
	if cfg.Storage.Driver != "vfs" {
		f.Drivers = append(f.Drivers, cfg.Storage.Driver)
	}
	for _, p := range i.PullPolicy {
		f.Tool.Policies = append(f.Tool.Policies, image.Policy(p))
	}
	for _, u := range i.Users {
		n, err := strconv.Atoi(u)
		if err != nil {
			return f, fmt.Errorf("images.users: %w", err) // the configuration was checked
		}
		f.Users = append(f.Users, n)
	}
	return f, nil
}
