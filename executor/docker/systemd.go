package docker

import (
	"maps"
	"path/filepath"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/sysbox"
)

// systemdFile is the name of systemd's configuration in a container's settings.
const systemdFile = "systemd.conf"

// systemdRuns reports whether c boots systemd.
func systemdRuns(c engine.Container) bool {
	return len(c.Entrypoint) > 0 && c.Entrypoint[0] == sysbox.Init
}

// arrangeSystemd makes c boot systemd if the job, the service or the image asks for it.
// The agent is not PID 1 then. If the plan does not allow systemd, the job is at fault.
func (b *Backend) arrangeSystemd(p job.Plan, f jobcontainer.FirstProcess, img engine.Image, c *engine.Container) error {
	args, wanted, err := f.BootsSystemd(b.Log, p, jobcontainer.ImageProcess{Entrypoint: img.Entrypoint, Command: img.Cmd, Systemd: img.Labels[job.LabelSystemd]})
	if err != nil || !wanted {
		return err
	}
	c.Entrypoint, c.Cmd, c.StopSignal, c.User = sysbox.InitArgs(args), nil, sysbox.StopSignal, "0:0"
	file := filepath.Join(b.settingsPath(p.Identity, c.Name), systemdFile)
	for _, target := range []string{sysbox.SystemConfigFile, sysbox.UserConfigFile} {
		c.Mounts = append(c.Mounts, engine.Mount{Kind: engine.Bind, Source: file, Target: target, ReadOnly: true})
	}
	for _, m := range c.Mounts {
		if spare := sysbox.Spare(m.Target); spare != "" {
			m.Target = spare
			c.Mounts = append(c.Mounts, m)
		}
	}
	for target, options := range maps.Clone(c.Tmpfs) {
		if spare := sysbox.Spare(target); spare != "" {
			c.Tmpfs[spare] = options
		}
	}
	return nil
}

// explainSystemd replaces the runtime's error if the image has no systemd to boot.
func explainSystemd(image string, c engine.Container, err error) error {
	if !systemdRuns(c) {
		return err
	}
	return jobcontainer.ExplainSystemd(image, err)
}
