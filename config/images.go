package config

import (
	"strconv"
	"strings"
)

// Images is the store of base images that all jobs share.
type Images struct {
	// Offer tells whether jobs see the store.
	Offer bool `toml:"offer"`
	// References are images that a refresh puts into the store, whether or not
	// they are there.
	References []string `toml:"references"`
	// ToolImage is that of the container that fills the store: with buildah or
	// podman.
	ToolImage string `toml:"tool_image"`
	// PullPolicy lists when that image is pulled, as for a job's.
	PullPolicy []string `toml:"pull_policy"`
	// Users are the numbers of the users other than root who have a copy.
	Users []string `toml:"users"`
	// Environment lists NAME=value for that container.
	Environment []string `toml:"environment"`
	// Volumes lists that container's, as Container.Volumes.
	Volumes []string `toml:"volumes"`
}

func defaultImages() Images {
	return Images{
		Offer: true, References: []string{}, PullPolicy: []string{"if-not-present"},
		Users: []string{"1000"}, Environment: []string{}, Volumes: []string{},
	}
}

// mostUser is the last number in the user namespace of a container, less one:
// each user's own root takes one more.
const mostUser = 65534

func (c *Config) checkImages(k *checker) {
	i := c.Images
	for _, r := range i.References {
		if r == "" || strings.ContainsFunc(r, blank) {
			k.bad("images.references", `%q is not the name of an image; write for example "docker.io/library/debian:12"`, r)
		}
	}
	if strings.ContainsFunc(i.ToolImage, blank) {
		k.bad("images.tool_image", `%q has white space in it; write for example "registry.example.com/tools/buildah:1"`, i.ToolImage)
	}
	k.pullPolicy("images.pull_policy", i.PullPolicy)
	for _, u := range i.Users {
		if n, err := strconv.Atoi(u); err != nil || n < 1 || n > mostUser || strconv.Itoa(n) != u {
			k.bad("images.users", `%q is not the number of a user from 1 to %d; write for example "1000"`, u, mostUser)
		}
	}
	k.environment("images.environment", i.Environment)
	c.checkVolumes(k, "images.volumes", i.Volumes, false)
}
