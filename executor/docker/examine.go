package docker

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/owner"
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

// examineJob inspects the job container.
func (b *Backend) examineJob(ctx context.Context, m *made, s started) (agent.InspectResponse, error) {
	tools := agent.Tools{Settings: s.storage, Stores: m.generation.Stores()}
	request := jobcontainer.InspectRequest(m.Plan, s.setup, tools, wantedMounts(s.asked))
	if systemdRuns(s.asked) {
		request.Init, request.SystemdTimeout = false, m.SystemdTimeout
	}
	r, err := b.Inside(s.id, s.agent(), jobcontainer.Name).Inspect(ctx, request, m.InspectTimeout)
	if err == nil && r.Error == "" {
		if err := jobcontainer.CheckShell(m.Plan, r); err != nil {
			return r, err
		}
		jobcontainer.ReportEntrypoint(b.Log, m.EntrypointTimeout, r, func() (string, error) { return b.Engine.Logs(ctx, s.id, 100) })
		b.reportEmulators(m.Emulate, r.EmulateFault)
	}
	e := jobcontainer.Examination{Container: jobcontainer.Name, Image: m.Image.Reference, Systemd: m.SystemdTimeout, Log: b.Log}
	return r, e.Check(r, err)
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
	e := jobcontainer.Examination{Container: "the container of service " + s.Image, Image: s.Image, Service: s.Image, Systemd: m.SystemdTimeout, Log: b.Log}
	request := agent.LookRequest{Mounts: wantedMounts(s.asked), Emulate: m.Emulate}
	if systemdRuns(s.asked) {
		request.SystemdTimeout = m.SystemdTimeout
	}
	r, err := b.Inside(s.ID, owner.Process{}, e.Container).Look(ctx, request, m.InspectTimeout)
	if err != nil && b.Ends(ctx, s.ID, endTime) {
		return nil
	}
	if r.SystemdFault != "" {
		b.Log.Warnf("Service %s: %s; the job goes on.", s.Image, r.SystemdFault)
	}
	if r.EmulateFault != "" { // the job's own container has reported it
		b.Log.Debugf("Service %s: programs for other architectures do not run: %s.", s.Image, r.EmulateFault)
	}
	return e.Check(agent.InspectResponse{Error: r.Error, Systemd: r.Systemd, MountFaults: r.MountFaults}, err)
}
