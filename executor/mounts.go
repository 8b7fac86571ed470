package executor

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/sysbox"
)

// wantedMounts are c's mounts as the agent finds them again: a folder or file of
// the host by its device and inode.
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

// tellMounts says which mounts of a container are elsewhere, and refuses one that
// lacks a mount.
func (x *Executor) tellMounts(container string, faults []agent.MountFault) error {
	var missing []string
	for _, f := range faults {
		switch {
		case f.Restored:
			x.Log.Warnf("The mount at %s in %s was not visible: %s. It was mounted there again; what was started before finds it at %s.", f.Target, container, f.Reason, f.Moved)
		case f.Moved != "":
			x.Log.Warnf("The mount at %s in %s is not visible: %s. Its content is at %s.", f.Target, container, f.Reason, f.Moved)
		default:
			missing = append(missing, f.Target+": "+f.Reason)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.Jobf("a mount of %s is not visible in it: %s; something in the image mounts over it (findmnt shows what)", container, strings.Join(missing, "; "))
}

// inspectServices looks into the services' containers once they are ready, as
// inspect does into the job's. One that has ended meanwhile is told elsewhere.
func (x *Executor) inspectServices(ctx context.Context, p plan, services []started) error {
	failed := make([]error, len(services))
	var wg sync.WaitGroup
	for n, s := range services {
		wg.Go(func() { failed[n] = x.inspectService(ctx, p, s) })
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return err // one says enough
		}
	}
	return nil
}

func (x *Executor) inspectService(ctx context.Context, p plan, s started) error {
	order := agent.LookOrder{Mounts: wantedMounts(s.asked)}
	if systemdRuns(s.asked) {
		order.SystemdTimeout = p.SystemdTimeout
	}
	r, err := x.inside(s.ID, "the container of service "+s.Image).Look(ctx, order, p.InspectTimeout)
	if err != nil {
		if state, gone := x.Engine.State(ctx, s.ID); engine.IsNotFound(gone) || gone == nil && !state.Running {
			return nil
		}
		return fmt.Errorf("looking at the container of service %s: %w", s.Image, err)
	}
	if r.Error != "" {
		return fmt.Errorf("looking at the container of service %s: %s", s.Image, r.Error)
	}
	if r.SystemdFault != "" {
		x.Log.Warnf("Service %s: %s; the job goes on.", s.Image, r.SystemdFault)
	}
	x.tellSystemd(s.Image, p.SystemdTimeout, r.Systemd)
	return x.tellMounts("the container of service "+s.Image, r.MountFaults)
}
