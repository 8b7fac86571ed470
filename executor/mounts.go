package executor

import (
	"os"
	"strings"
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
	for _, m := range c.Mounts {
		w := agent.Mount{Target: m.Target}
		if info, err := os.Stat(m.Source); m.Kind == engine.Bind && err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				w.Device, w.Inode = s.Dev, s.Ino
			}
		}
		if systemdRuns(c) {
			w.Spare = sysbox.Spare(m.Target)
		}
		all = append(all, w)
	}
	return all
}

// tellMounts says which mounts are elsewhere, and refuses a container that lacks one.
func (x *Executor) tellMounts(r agent.Report) error {
	var missing []string
	for _, f := range r.MountFaults {
		switch {
		case f.Restored:
			x.Log.Warnf("The mount at %s was not visible: %s. It was mounted there again; what is started before the job's script finds it at %s.", f.Target, f.Reason, f.Moved)
		case f.Moved != "":
			x.Log.Warnf("The mount at %s is not visible: %s. Its content is at %s.", f.Target, f.Reason, f.Moved)
		default:
			missing = append(missing, f.Target+": "+f.Reason)
		}
	}
	if len(missing) > 0 {
		return fault.Jobf("a mount of the job's container is not visible to the job: %s; something in the image mounts over it (findmnt shows what)", strings.Join(missing, "; "))
	}
	return nil
}
