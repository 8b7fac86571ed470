package spec

import (
	"slices"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/sysbox"
)

// New is a container of the image with what each of ours has. An image's own
// variables for Sysbox have no effect in it.
func New(name, runtime string, img engine.Image, env []string, network config.Network, mounts []engine.Mount) engine.Container {
	return engine.Container{
		Name: name, Image: img.ID, Runtime: runtime, Env: sysbox.Unset(env, img.Env), Names: Names(network), Mounts: slices.Clone(mounts),
	}
}

// RunAgent makes the agent the first process of c, as root, with this order.
func RunAgent(c *engine.Container, order, workingDir string) {
	c.User, c.WorkingDir, c.Entrypoint, c.Cmd = "0:0", workingDir, agent.Command("init"), []string{order}
}
