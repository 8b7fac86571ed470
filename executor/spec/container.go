package spec

import (
	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/sysbox"
)

// New describes a container of the image with the settings that all our containers have. An image's
// variables for Sysbox have no effect.
func New(name, runtime string, img engine.Image, env []string, network config.Network, mounts []engine.Mount) engine.Container {
	return engine.Container{
		Name: name, Image: img.ID, Runtime: runtime, Env: sysbox.Unset(env, img.Env), Names: Names(network), Mounts: mounts,
	}
}

// RunAgent makes the agent the first process of c, as root, with this request.
func RunAgent(c *engine.Container, request, workingDir string) {
	c.User, c.WorkingDir, c.Entrypoint, c.Cmd = "0:0", workingDir, agent.Command("init"), []string{request}
}
