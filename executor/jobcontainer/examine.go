package jobcontainer

import (
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/storage"
)

// Name is the name of the job container in messages.
const Name = "the job's container"

// InspectRequest is the request to inspect the job container once it runs. The agent is its first process.
func InspectRequest(p job.Plan, setup agent.Setup, tools agent.Tools, mounts []agent.Mount) agent.InspectRequest {
	request := agent.InspectRequest{
		Setup: setup, Init: true, EntrypointTimeout: p.EntrypointTimeout, Mounts: mounts,
		Timeout: p.InspectTimeout * 3 / 4, // leaves time to report a timeout
		Volume:  storage.Mountpoint, ProbeOverlay: p.Volume.Overlay,
		Tools: &tools, Emulate: p.Emulate,
	}
	if p.Folders.Temp != "" {
		request.ClearIn, request.Clear = p.Folders.Builds, strings.TrimPrefix(p.Folders.Temp, p.Folders.Builds+"/")
	}
	return request
}

// CheckShell refuses an image without a shell.
func CheckShell(p job.Plan, r agent.InspectResponse) error {
	if r.Shell == "" {
		return fault.Jobf("image %s has no shell: a job's script needs bash or sh in it", p.Image.Reference)
	}
	return nil
}

// reportMounts warns of mounts that were found at another path, and refuses a container
// that lacks a mount.
func reportMounts(log logrus.FieldLogger, container string, faults []agent.MountFault) error {
	var missing []string
	for _, f := range faults {
		switch {
		case f.Restored:
			log.Warnf("The mount at %s in %s was not visible: %s. It was mounted there again; what was started before finds it at %s.", f.Target, container, f.Reason, f.Moved)
		case f.Moved != "":
			log.Warnf("The mount at %s in %s is not visible: %s. Its content is at %s.", f.Target, container, f.Reason, f.Moved)
		default:
			missing = append(missing, f.Target+": "+f.Reason)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.Jobf("a mount of %s is not visible in it: %s; something in the image mounts over it (findmnt shows what)", container, strings.Join(missing, "; "))
}

// Examination is one inspection of a container from inside.
type Examination struct {
	Container string        // its name in messages
	Image     string        // whose fault a job's fault is
	Service   string        // the service's image; empty for the job's own containers
	Systemd   time.Duration // time that systemd has to boot
	Log       logrus.FieldLogger
}

// Check judges the response to an inspection. It reports systemd's state and moved mounts, and returns an error if no
// job can run in the container.
func (e Examination) Check(r agent.InspectResponse, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("inspecting %s: %w", e.Container, err)
	case r.Error != "" && r.JobFault:
		return fault.Jobf("image %s: %s", e.Image, r.Error)
	case r.Error != "":
		return fmt.Errorf("inspecting %s: %s", e.Container, r.Error)
	}
	e.reportSystemd(r.Systemd)
	return reportMounts(e.Log, e.Container, r.MountFaults)
}

// ReportEntrypoint logs the output of the image's entrypoint, and warns if the entrypoint
// did not run the command that it was given within timeout.
func ReportEntrypoint(log logrus.FieldLogger, timeout time.Duration, r agent.InspectResponse, output func() (string, error)) {
	if r.Entrypoint == agent.EntrypointNone {
		return
	}
	if text, err := output(); err == nil {
		for line := range strings.Lines(text) {
			log.WithField(servicelog.Verbatim, true).Info(strings.TrimRight(line, "\r\n"))
		}
	}
	switch {
	case r.EntrypointFault != "":
		log.Warnf("The image's entrypoint could not be started: %s; the job goes on without it. To skip the entrypoint, set image: entrypoint: [\"\"].", fault.Brief(r.EntrypointFault))
	case r.Entrypoint == agent.EntrypointExited:
		log.Warnf("The image's entrypoint ended with exit code %d without running the command behind it; the job goes on without it. To skip the entrypoint, set image: entrypoint: [\"\"].", r.EntrypointCode)
	case r.Entrypoint == agent.EntrypointIgnores:
		log.Warnf("The image's entrypoint has not run the command behind it within %s; the job goes on beside it. To skip the entrypoint, set image: entrypoint: [\"\"].", timeout)
	}
}

// reportSystemd logs systemd's state and the units that failed or are still starting.
func (e Examination) reportSystemd(s *agent.Systemd) {
	if s == nil {
		return
	}
	about, took := AboutService(e.Service), s.Took.Round(100*time.Millisecond)
	switch {
	case len(s.Waiting) > 0:
		e.Log.Warnf("%ssystemd is still %s after %s, waiting for %s; the job goes on.", about, s.State, e.Systemd, strings.Join(s.Waiting, ", "))
	case len(s.Failed) == 0:
		e.Log.Infof("%ssystemd is %s after %s.", about, s.State, took)
	}
	if len(s.Failed) > 0 {
		e.Log.Warnf("%ssystemd is %s after %s; failed units: %s. (systemctl status shows why.)", about, s.State, took, strings.Join(s.Failed, ", "))
	}
}

// AboutService is the prefix of messages about a service's container; empty for the job
// container.
func AboutService(name string) string {
	if name == "" {
		return ""
	}
	return "Service " + name + ": "
}
