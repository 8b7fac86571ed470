package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
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

// firstProcess describes the first process that a job or a service asks for.
type firstProcess struct {
	Name       string   // of a service in the job log; empty for the job
	Systemd    *bool    // nil if not set
	Entrypoint []string // nil keeps the image's
	Command    []string // empty keeps the image's, unless Entrypoint is set
}

// message prefixes text with the service's name.
func (f firstProcess) message(text string) string { return jobcontainer.AboutService(f.Name) + text }

// systemdArgs decides whether systemd is the first process, and returns its arguments.
// The setting of the job or service comes first, then the image's label, then the command.
func (b *Backend) systemdArgs(f firstProcess, img engine.Image) (args []string, wanted bool) {
	command := f.Command
	if f.Entrypoint == nil && len(command) == 0 { // an entrypoint replaces the image's entrypoint and command
		command = img.Cmd
	}
	entry := jobcontainer.Entrypoint(f.Entrypoint, img.Entrypoint)
	found := sysbox.Recognise(entry, command)
	label := img.Labels[job.LabelSystemd]
	switch {
	case f.Systemd != nil && !*f.Systemd, f.Systemd == nil && label == "false":
		return nil, false
	case f.Systemd != nil, label == "true":
		if len(entry) > 0 && !found.Systemd {
			b.Log.Info(f.message(fmt.Sprintf("The entrypoint %s is not run: systemd is the first process.", fault.Quote(entry[0]))))
		}
		return found.Args, true
	case found.Behind != "":
		b.Log.Info(f.message(fmt.Sprintf("The image's command is %s behind the entrypoint %s: systemd does not boot. (The variable EXECUTOR_SYSTEMD=true boots it, without the entrypoint.)", sysbox.Init, fault.Quote(found.Behind))))
	case found.Systemd && found.Corrected:
		b.Log.Info(f.message(fmt.Sprintf("The command %s starts systemd in a way that Sysbox does not see; %s is started directly instead.", fault.Quote(strings.Join(slices.Concat(entry, command), " ")), sysbox.Init)))
	}
	return found.Args, found.Systemd
}

// arrangeSystemd makes c boot systemd if the job, the service or the image asks for it.
// The agent is not PID 1 then. If the plan does not allow systemd, the job is at fault.
func (b *Backend) arrangeSystemd(p job.Plan, f firstProcess, img engine.Image, c *engine.Container) error {
	args, wanted := b.systemdArgs(f, img)
	if !wanted {
		return nil
	}
	if p.SystemdRefused != "" {
		return fault.Jobf("%ssystemd as the first process runs as root, which this runner does not allow: %s; set EXECUTOR_SYSTEMD to \"false\", or take an image that starts another program",
			jobcontainer.AboutService(f.Name), p.SystemdRefused)
	}
	b.Log.Info(f.message("Booting systemd as the container's first process ..."))
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

// explainSystemd replaces the runtime's error if the image has no systemd to boot. The
// error (runc 1.1 and later, Sysbox):
//
//	exec: "/sbin/init": stat /sbin/init: no such file or directory
func explainSystemd(image string, c engine.Container, err error) error {
	text := err.Error()
	if systemdRuns(c) && strings.Contains(text, `"`+sysbox.Init+`"`) &&
		(strings.Contains(text, "no such file or directory") || strings.Contains(text, "executable file not found")) {
		return fault.Jobf("image %s has no %s, which systemd as the first process needs: install systemd-sysv (or your distribution's package with it) in the image, or remove EXECUTOR_SYSTEMD=true", image, sysbox.Init)
	}
	return err
}
