package docker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// wantedMounts are the mounts that the agent has to find in c. The agent recognises a
// folder or file of the host by its device and inode.
func wantedMounts(c engine.Container) []agent.Mount {
	var all []agent.Mount
	want := func(w agent.Mount) {
		if systemdRuns(c) {
			w.Spare = sysbox.Spare(w.Target)
		}
		all = append(all, w)
	}
	for _, m := range c.Mounts {
		w := agent.Mount{Target: m.Target}
		if info, err := os.Stat(m.Source); m.Kind == engine.Bind && err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				w.Device, w.Inode = s.Dev, s.Ino
			}
		}
		want(w)
	}
	for _, target := range slices.Sorted(maps.Keys(c.Tmpfs)) {
		want(agent.Mount{Target: target, FSType: "tmpfs"})
	}
	return all
}

// reportMounts warns of mounts that were found at another path, and refuses a container
// that lacks a mount.
func (b *Backend) reportMounts(container string, faults []agent.MountFault) error {
	var missing []string
	for _, f := range faults {
		switch {
		case f.Restored:
			b.Log.Warnf("The mount at %s in %s was not visible: %s. It was mounted there again; what was started before finds it at %s.", f.Target, container, f.Reason, f.Moved)
		case f.Moved != "":
			b.Log.Warnf("The mount at %s in %s is not visible: %s. Its content is at %s.", f.Target, container, f.Reason, f.Moved)
		default:
			missing = append(missing, f.Target+": "+f.Reason)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.Jobf("a mount of %s is not visible in it: %s; something in the image mounts over it (findmnt shows what)", container, strings.Join(missing, "; "))
}

// examination is one inspection of a container from inside.
type examination struct {
	container string        // its name in messages
	image     string        // whose fault a job's fault is
	service   string        // the service's image; empty for the job's own containers
	systemd   time.Duration // time that systemd has to boot
}

// examine handles what the inspections of all containers have in common: it reports
// systemd's state and moved mounts, and returns an error if no job can run in the
// container.
func (b *Backend) examine(e examination, r agent.InspectResponse, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("inspecting %s: %w", e.container, err)
	case r.Error != "" && r.JobFault:
		return fault.Jobf("image %s: %s", e.image, r.Error)
	case r.Error != "":
		return fmt.Errorf("inspecting %s: %s", e.container, r.Error)
	}
	b.reportSystemd(e.service, e.systemd, r.Systemd)
	return b.reportMounts(e.container, r.MountFaults)
}

// examineJob inspects the job container.
func (b *Backend) examineJob(ctx context.Context, m *made, s started) (agent.InspectResponse, error) {
	request := agent.InspectRequest{
		Setup: s.setup, Init: true, EntrypointTimeout: m.EntrypointTimeout, Mounts: wantedMounts(s.asked),
		Timeout: m.InspectTimeout * 3 / 4, // leaves time to report a timeout
		Volume:  storage.Mountpoint, ProbeOverlay: m.Volume.Overlay,
		Tools: &agent.Tools{Settings: s.storage, Stores: m.generation.Stores()}, Emulate: m.Emulate,
	}
	if m.Folders.Temp != "" {
		request.ClearIn, request.Clear = m.Folders.Builds, strings.TrimPrefix(m.Folders.Temp, m.Folders.Builds+"/")
	}
	if systemdRuns(s.asked) {
		request.Init, request.SystemdTimeout = false, m.SystemdTimeout
	}
	r, err := b.Inside(s.id, s.agent(), JobContainer).Inspect(ctx, request, m.InspectTimeout)
	if err == nil && r.Error == "" {
		if r.Shell == "" {
			return r, fault.Jobf("image %s has no shell: a job's script needs bash or sh in it", m.Image.Reference)
		}
		b.reportEntrypoint(ctx, s.id, m.EntrypointTimeout, r)
		b.reportEmulators(m.Emulate, r.EmulateFault)
	}
	return r, b.examine(examination{container: JobContainer, image: m.Image.Reference, systemd: m.SystemdTimeout}, r, err)
}

// reportEntrypoint logs the output of the image's entrypoint, and warns if the entrypoint
// did not run the command that it was given.
func (b *Backend) reportEntrypoint(ctx context.Context, id string, timeout time.Duration, r agent.InspectResponse) {
	if r.Entrypoint == agent.EntrypointNone {
		return
	}
	if text, err := b.Engine.Logs(ctx, id, 100); err == nil {
		for line := range strings.Lines(text) {
			b.Log.WithField(servicelog.Verbatim, true).Info(strings.TrimRight(line, "\r\n"))
		}
	}
	switch {
	case r.EntrypointFault != "":
		b.Log.Warnf("The image's entrypoint could not be started: %s; the job goes on without it. To skip the entrypoint, set image: entrypoint: [\"\"].", fault.Brief(r.EntrypointFault))
	case r.Entrypoint == agent.EntrypointExited:
		b.Log.Warnf("The image's entrypoint ended with exit code %d without running the command behind it; the job goes on without it. To skip the entrypoint, set image: entrypoint: [\"\"].", r.EntrypointCode)
	case r.Entrypoint == agent.EntrypointIgnores:
		b.Log.Warnf("The image's entrypoint has not run the command behind it within %s; the job goes on beside it. To skip the entrypoint, set image: entrypoint: [\"\"].", timeout)
	}
}

// examineServices inspects the services' containers once they are ready, as examineJob
// inspects the job container. The service log reports a service that has ended.
func (b *Backend) examineServices(ctx context.Context, m *made, services []runningService) error {
	failed := make([]error, len(services))
	var wg sync.WaitGroup
	for n, s := range services {
		wg.Go(func() { failed[n] = b.examineService(ctx, m, s) })
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return err // one report is enough
		}
	}
	return nil
}

// endTime is how long the engine may take to notice that a container has ended. The end of its first
// process ends what runs in it by exec, too, and the engine may notice that first.
const endTime = 2 * time.Second

func (b *Backend) examineService(ctx context.Context, m *made, s runningService) error {
	e := examination{container: "the container of service " + s.Image, image: s.Image, service: s.Image, systemd: m.SystemdTimeout}
	request := agent.LookRequest{Mounts: wantedMounts(s.asked), Emulate: m.Emulate}
	if systemdRuns(s.asked) {
		request.SystemdTimeout = m.SystemdTimeout
	}
	r, err := b.Inside(s.ID, owner.Process{}, e.container).Look(ctx, request, m.InspectTimeout)
	if err != nil && b.Ends(ctx, s.ID, endTime) {
		return nil
	}
	if r.SystemdFault != "" {
		b.Log.Warnf("Service %s: %s; the job goes on.", s.Image, r.SystemdFault)
	}
	if r.EmulateFault != "" { // the job's own container has reported it
		b.Log.Debugf("Service %s: programs for other architectures do not run: %s.", s.Image, r.EmulateFault)
	}
	return b.examine(e, agent.InspectResponse{Error: r.Error, Systemd: r.Systemd, MountFaults: r.MountFaults}, err)
}
