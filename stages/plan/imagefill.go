package plan

import (
	"fmt"
	"strconv"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/sharedfill"
)

// ImageFill returns the configuration of the shared image store.
func ImageFill(cfg *config.Config, authFile string) (sharedfill.Fill, error) {
	i := cfg.Images
	credentials := image.Sources{Home: homeDir(), File: authFile}
	f := sharedfill.Fill{
		Image:   image.Request{Reference: i.ToolImage, Credentials: credentials},
		Runtime: cfg.Runtime, Drivers: []string{"vfs"}, Users: []int{0},
		Environment: i.Environment, Volumes: i.Volumes, Network: cfg.Network, Credentials: credentials,
	}
	if cfg.Storage.Driver != "vfs" {
		f.Drivers = append(f.Drivers, cfg.Storage.Driver)
	}
	for _, p := range i.PullPolicy {
		f.Image.Policies = append(f.Image.Policies, image.Policy(p))
	}
	for _, u := range i.Users {
		n, err := strconv.Atoi(u)
		if err != nil {
			return f, fmt.Errorf("images.users: %w", err) // cannot happen: the configuration was checked
		}
		f.Users = append(f.Users, n)
	}
	return f, nil
}
