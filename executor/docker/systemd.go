package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/sysbox"
)

// systemdFile is systemd's configuration among a container's settings.
const systemdFile = "systemd.conf"

// systemdRuns tells whether c boots systemd.
func systemdRuns(c engine.Container) bool {
	return len(c.Entrypoint) > 0 && c.Entrypoint[0] == sysbox.Init
}

// firstProcess is what a job or a service says of its container's first process.
type firstProcess struct {
	Name       string   // of a service, as the job log names it; empty for the job
	Systemd    *bool    // nil when it says nothing
	Entrypoint []string // nil keeps the image's own
	Command    []string // none keeps the image's own, unless there is an entrypoint
}

// tell begins a message about it.
func (f firstProcess) tell(text string) string { return aboutService(f.Name) + text }

// aboutService begins a message about what a service's container is like, and
// nothing for the job's.
func aboutService(name string) string {
	if name == "" {
		return ""
	}
	return "Service " + name + ": "
}

// systemdArgs are systemd's own arguments where it is to be the first process:
// the word of the job, or of the service, counts most, then the image's label,
// then what the command is.
func (b *Backend) systemdArgs(f firstProcess, img engine.Image) (args []string, wanted bool) {
	command := f.Command
	if f.Entrypoint == nil && len(command) == 0 { // an entrypoint replaces both of the image's
		command = img.Cmd
	}
	entry := entrypoint(f.Entrypoint, img.Entrypoint)
	found := sysbox.Recognise(entry, command)
	label := img.Labels[job.LabelSystemd]
	switch {
	case f.Systemd != nil && !*f.Systemd, f.Systemd == nil && label == "false":
		return nil, false
	case f.Systemd != nil, label == "true":
		if len(entry) > 0 && !found.Systemd {
			b.Log.Info(f.tell(fmt.Sprintf("The entrypoint %s is not run: systemd is the first process.", fault.Quote(entry[0]))))
		}
		return found.Args, true
	case found.Behind != "":
		b.Log.Info(f.tell(fmt.Sprintf("The image's command is %s behind the entrypoint %s: systemd does not boot. (The variable EXECUTOR_SYSTEMD=true boots it, without the entrypoint.)", sysbox.Init, fault.Quote(found.Behind))))
	case found.Systemd && found.Corrected:
		b.Log.Info(f.tell(fmt.Sprintf("The command %s starts systemd in a way that Sysbox does not see; %s is started directly instead.", fault.Quote(strings.Join(slices.Concat(entry, command), " ")), sysbox.Init)))
	}
	return found.Args, found.Systemd
}

// arrangeSystemd makes c boot systemd where the job, the service or the image asks
// for it. Our agent is not the first process then. Where the plan refuses systemd,
// that is the job's fault.
func (b *Backend) arrangeSystemd(p job.Plan, f firstProcess, img engine.Image, c *engine.Container) error {
	args, wanted := b.systemdArgs(f, img)
	if !wanted {
		return nil
	}
	if p.SystemdRefused != "" {
		return fault.Jobf("%ssystemd as the first process runs as root, which this runner does not allow: %s; set EXECUTOR_SYSTEMD to \"false\", or take an image that starts another program",
			aboutService(f.Name), p.SystemdRefused)
	}
	b.Log.Info(f.tell("Booting systemd as the container's first process ..."))
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

// explainSystemd says in plain words that an image has no systemd to boot. The
// runtime's message (runc 1.1 and later, Sysbox):
//
//	exec: "/sbin/init": stat /sbin/init: no such file or directory
func explainSystemd(image string, c engine.Container, err error) error {
	text := err.Error()
	if systemdRuns(c) && strings.Contains(text, `"`+sysbox.Init+`"`) &&
		(strings.Contains(text, "no such file or directory") || strings.Contains(text, "executable file not found")) {
		return fault.Jobf("image %s has no %s, which systemd as the first process needs: install systemd-sysv (or your distribution's package with it) in the image, or take EXECUTOR_SYSTEMD=true away", image, sysbox.Init)
	}
	return err
}

// reportSystemd reports what did not come up in a service's container, or in the job's.
func (b *Backend) reportSystemd(service string, timeout time.Duration, s *agent.Systemd) {
	if s == nil {
		return
	}
	about, took := aboutService(service), s.Took.Round(100*time.Millisecond)
	switch {
	case len(s.Waiting) > 0:
		b.Log.Warnf("%ssystemd is still %s after %s, waiting for %s; the job goes on.", about, s.State, timeout, strings.Join(s.Waiting, ", "))
	case len(s.Failed) == 0:
		b.Log.Infof("%ssystemd is %s after %s.", about, s.State, took)
	}
	if len(s.Failed) > 0 {
		b.Log.Warnf("%ssystemd is %s after %s; failed units: %s. (systemctl status shows why.)", about, s.State, took, strings.Join(s.Failed, ", "))
	}
}
