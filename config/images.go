package config

import (
	"strconv"
	"strings"
)

// Images is the image store that all jobs share.
type Images struct {
	// Offer makes the store visible to jobs.
	Offer bool `toml:"offer"`
	// References are images that a refresh always puts into the store.
	References []string `toml:"references"`
	// ToolImage is the image of the fill container; it has buildah or podman.
	ToolImage string `toml:"tool_image"`
	// PullPolicy lists the pull policies of that image, as for a job's.
	PullPolicy []string `toml:"pull_policy"`
	// Users are the numeric IDs of the users other than root who get a copy.
	Users []string `toml:"users"`
	// Environment lists NAME=value for the fill container.
	Environment []string `toml:"environment"`
	// Volumes lists volumes of the fill container, as Container.Volumes.
	Volumes []string `toml:"volumes"`
}

func defaultImages() Images {
	return Images{
		Offer: true, References: []string{}, PullPolicy: []string{"if-not-present"},
		Users: []string{"1000"}, Environment: []string{}, Volumes: []string{},
	}
}

// mostUser is one less than the last ID in a container's user namespace: the root of each
// user's own namespace takes one more.
const mostUser = 65534

func (c *Config) checkImages(k *checker) {
	i := c.Images
	for _, r := range i.References {
		if r == "" || strings.ContainsFunc(r, blank) {
			k.bad("images.references", `%q is not the name of an image; write for example "docker.io/library/debian:12"`, r)
		}
	}
	if strings.ContainsFunc(i.ToolImage, blank) {
		k.bad("images.tool_image", `%q contains white space; write for example "registry.example.com/tools/buildah:1"`, i.ToolImage)
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
