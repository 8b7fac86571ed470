package jobcontainer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/sysbox"
)

// FirstProcess describes the first process that a job or a service asks for.
type FirstProcess struct {
	Name       string   // of a service in the job log; empty for the job
	Systemd    *bool    // nil if not set
	Entrypoint []string // nil keeps the image's
	Command    []string // empty keeps the image's, unless Entrypoint is set
}

// ImageProcess is what an image says about its first process. It is zero if that is not known.
type ImageProcess struct {
	Entrypoint, Command []string
	// Systemd is the value of the label job.LabelSystemd.
	Systemd string
}

// BootsSystemd decides whether systemd is the first process, and returns its arguments. The setting of the job or service
// comes first, then the image's label, then the command. If the plan does not allow systemd, the job is at fault.
func (f FirstProcess) BootsSystemd(log logrus.FieldLogger, p job.Plan, img ImageProcess) (args []string, wanted bool, err error) {
	args, wanted = f.systemd(log, img)
	if !wanted {
		return nil, false, nil
	}
	if p.SystemdRefused != "" {
		return nil, false, fault.Jobf("%ssystemd as the first process runs as root, which this runner does not allow: %s; set EXECUTOR_SYSTEMD to \"false\", or take an image that starts another program",
			AboutService(f.Name), p.SystemdRefused)
	}
	log.Info(f.message("Booting systemd as the container's first process ..."))
	return args, true, nil
}

func (f FirstProcess) systemd(log logrus.FieldLogger, img ImageProcess) (args []string, wanted bool) {
	command := f.Command
	if f.Entrypoint == nil && len(command) == 0 { // an entrypoint replaces the image's entrypoint and command
		command = img.Command
	}
	entry := Entrypoint(f.Entrypoint, img.Entrypoint)
	found := sysbox.Recognise(entry, command)
	switch {
	case f.Systemd != nil && !*f.Systemd, f.Systemd == nil && img.Systemd == "false":
		return nil, false
	case f.Systemd != nil, img.Systemd == "true":
		if len(entry) > 0 && !found.Systemd {
			log.Info(f.message(fmt.Sprintf("The entrypoint %s is not run: systemd is the first process.", fault.Quote(entry[0]))))
		}
		return found.Args, true
	case found.Behind != "":
		log.Info(f.message(fmt.Sprintf("The image's command is %s behind the entrypoint %s: systemd does not boot. (The variable EXECUTOR_SYSTEMD=true boots it, without the entrypoint.)", sysbox.Init, fault.Quote(found.Behind))))
	case found.Systemd && found.Corrected:
		log.Info(f.message(fmt.Sprintf("The command %s starts systemd in a way that Sysbox does not see; %s is started directly instead.", fault.Quote(strings.Join(slices.Concat(entry, command), " ")), sysbox.Init)))
	}
	return found.Args, found.Systemd
}

// message prefixes text with the service's name.
func (f FirstProcess) message(text string) string { return AboutService(f.Name) + text }

// ExplainSystemd replaces a runtime's error if the image has no systemd to boot. The error (runc 1.1 and later, Sysbox):
//
//	exec: "/sbin/init": stat /sbin/init: no such file or directory
func ExplainSystemd(image string, err error) error {
	text := err.Error()
	if strings.Contains(text, `"`+sysbox.Init+`"`) && (strings.Contains(text, "no such file or directory") || strings.Contains(text, "executable file not found")) {
		return fault.Jobf("image %s has no %s, which systemd as the first process needs: install systemd-sysv (or your distribution's package with it) in the image, or remove EXECUTOR_SYSTEMD=true", image, sysbox.Init)
	}
	return err
}
