package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/sysbox"
)

// LabelSystemd is an image's own label: "true" or "false" says whether systemd is
// to be the first process of its containers.
const LabelSystemd = LabelPrefix + "systemd"

// systemdFile is systemd's configuration in the job's folder on the host.
const systemdFile = "systemd.conf"

// systemdRuns tells whether c boots systemd.
func systemdRuns(c engine.Container) bool {
	return len(c.Entrypoint) > 0 && c.Entrypoint[0] == sysbox.Init
}

// systemdArgs are systemd's own arguments where it is to be the first process:
// the job's word counts most, then the image's label, then what the command is.
func (x *Executor) systemdArgs(p Plan, img engine.Image) (args []string, wanted bool) {
	command := img.Cmd
	if p.Entrypoint != nil {
		command = nil // the job's entrypoint replaces both of the image's
	}
	entry := entrypoint(p.Entrypoint, img.Entrypoint)
	found := sysbox.Recognise(entry, command)
	label := img.Labels[LabelSystemd]
	switch {
	case p.Systemd != nil && !*p.Systemd, p.Systemd == nil && label == "false":
		return nil, false
	case p.Systemd != nil, label == "true":
		if len(entry) > 0 && !found.Systemd {
			x.Log.Infof("The entrypoint %s is not run: systemd is the first process.", entry[0])
		}
		return found.Args, true
	case found.Behind != "":
		x.Log.Infof("The image's command is %s behind the entrypoint %s: systemd does not boot. (The job variable EXECUTOR_SYSTEMD=true boots it, without the entrypoint.)", sysbox.Init, found.Behind)
	case found.Systemd && found.Corrected:
		x.Log.Infof("The command %q starts systemd in a way that Sysbox does not see; %s is started directly instead.", strings.Join(slices.Concat(entry, command), " "), sysbox.Init)
	}
	return found.Args, found.Systemd
}

// arrangeSystemd makes c boot systemd where the job or the image asks for it. Our
// agent is not the first process then.
func (x *Executor) arrangeSystemd(p Plan, img engine.Image, c *engine.Container) error {
	args, wanted := x.systemdArgs(p, img)
	if !wanted {
		return nil
	}
	x.Log.Info("Booting systemd as the container's first process ...")
	c.Entrypoint, c.Cmd, c.StopSignal = sysbox.InitArgs(args), nil, sysbox.StopSignal
	file := filepath.Join(x.folder(p.Identity), sharedFolder, systemdFile)
	if err := os.WriteFile(file, sysbox.SystemdConfig(withToolDefaults(nil)), 0o644); err != nil {
		return fmt.Errorf("the job's folder: %w", err)
	}
	for _, target := range []string{sysbox.SystemConfigFile, sysbox.UserConfigFile} {
		c.Mounts = append(c.Mounts, engine.Mount{Kind: engine.Bind, Source: file, Target: target, ReadOnly: true})
	}
	for _, m := range c.Mounts {
		if spare := sysbox.Spare(m.Target); spare != "" && m.Kind != engine.Tmpfs {
			m.Target = spare
			c.Mounts = append(c.Mounts, m)
		}
	}
	return nil
}

// explainSystemd says in plain words that an image has no systemd to boot. The
// runtime's message (runc 1.1 and later, Sysbox):
//
//	exec: "/sbin/init": stat /sbin/init: no such file or directory
func explainSystemd(p Plan, c engine.Container, err error) error {
	text := err.Error()
	if systemdRuns(c) && strings.Contains(text, `"`+sysbox.Init+`"`) &&
		(strings.Contains(text, "no such file or directory") || strings.Contains(text, "executable file not found")) {
		return fault.Jobf("image %s has no %s, which systemd as the first process needs: install systemd-sysv (or your distribution's package with it) in the image, or take EXECUTOR_SYSTEMD=true away", p.Image.Reference, sysbox.Init)
	}
	return err
}

// tellSystemd says what did not come up.
func (x *Executor) tellSystemd(p Plan, r agent.Report) {
	if r.Systemd == nil {
		return
	}
	s := r.Systemd
	switch {
	case len(s.Waiting) > 0:
		x.Log.Warnf("systemd is still %s after %s, waiting for %s; the job goes on.", s.State, p.SystemdTimeout, strings.Join(s.Waiting, ", "))
	case len(s.Failed) == 0:
		x.Log.Infof("systemd is %s after %s.", s.State, s.Took.Round(100*time.Millisecond))
	}
	if len(s.Failed) > 0 {
		x.Log.Warnf("systemd is %s after %s; failed units: %s. (systemctl status shows why.)", s.State, s.Took.Round(100*time.Millisecond), strings.Join(s.Failed, ", "))
	}
}
