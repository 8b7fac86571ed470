package agentclient

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/executor/sysbox"
)

// These functions limit reports to possible values. Their errors name the impossible one.

const (
	// mostID is the highest ID of a user or group that a lookup returns (moby/sys/user,
	// maxID).
	mostID = math.MaxInt32
	// mostPID is the kernel's limit (PID_MAX_LIMIT on 64 bits).
	mostPID = 4 << 20
	// mostFiles is above the kernel's highest fs.nr_open.
	mostFiles = math.MaxInt32
	// mostBytes is larger than any disk.
	mostBytes = 1 << 60
	// mostImages is more than any store has.
	mostImages = 1_000_000
	// mostTexts bounds the shown entries of a list.
	mostTexts = 100
	// longestVersion is in bytes.
	longestVersion = 64
)

func checkInspectResponse(o agent.InspectRequest, r *agent.InspectResponse) error {
	if r.Error != "" {
		*r = agent.InspectResponse{Error: fault.Brief(r.Error), JobFault: r.JobFault}
		return nil
	}
	if r.Shell != "" && !agent.IsShell(r.Shell) {
		return fmt.Errorf("shell %s", fault.Quote(r.Shell))
	}
	if !slices.Contains([]agent.EntrypointState{agent.EntrypointNone, agent.EntrypointReady, agent.EntrypointExited, agent.EntrypointIgnores}, r.Entrypoint) {
		return fmt.Errorf("entrypoint %s", fault.Quote(string(r.Entrypoint)))
	}
	switch {
	case (r.Image == nil) != (o.Facts == ""):
		return fmt.Errorf("the facts of the image")
	case r.Image != nil:
		if err := r.Image.Check(); err != nil {
			return err
		}
	}
	if r.UID < 0 || r.UID > mostID || r.GID < 0 || r.GID > mostID {
		return fmt.Errorf("user %d:%d", r.UID, r.GID)
	}
	if r.Isolation != "" && (o.Tools == nil || r.Isolation != o.Tools.Settings.TryIsolation) {
		return fmt.Errorf("isolation %s", fault.Quote(r.Isolation))
	}
	r.IsolationFault = fault.Brief(r.IsolationFault)
	r.EntrypointCode = between(0, r.EntrypointCode, 255)
	r.EntrypointFault, r.OverlayFault, r.EmulateFault = fault.Brief(r.EntrypointFault), fault.Brief(r.OverlayFault), fault.Brief(r.EmulateFault)
	r.VolumeUsed = between(0, r.VolumeUsed, mostBytes)
	r.Limits = sysbox.Limits{NoFile: min(r.Limits.NoFile, mostFiles), NProc: min(r.Limits.NProc, mostPID)}
	r.MountFaults = mountFaults(o.Mounts, r.MountFaults)
	r.Systemd = checkSystemd(r.Systemd, o.SystemdTimeout)
	return nil
}

func checkLookResponse(o agent.LookRequest, r *agent.LookResponse) {
	if r.Error != "" {
		*r = agent.LookResponse{Error: fault.Brief(r.Error)}
		return
	}
	r.SystemdFault, r.EmulateFault = fault.Brief(r.SystemdFault), fault.Brief(r.EmulateFault)
	r.MountFaults = mountFaults(o.Mounts, r.MountFaults)
	r.Systemd = checkSystemd(r.Systemd, o.SystemdTimeout)
}

func checkAwaitResponse(r *agent.AwaitResponse) { r.Error = fault.Brief(r.Error) }

func checkUnmountResponse(r *agent.UnmountResponse) { r.Left = briefs(r.Left, mostTexts) }

// checkSystemd limits the result of a boot to possible values; nil if systemd was not expected.
func checkSystemd(s *agent.Systemd, limit time.Duration) *agent.Systemd {
	if s == nil || limit <= 0 {
		return nil
	}
	return &agent.Systemd{
		State: fault.Brief(s.State), Took: min(max(0, s.Took), limit),
		Failed: briefs(s.Failed, agent.MostUnits), Waiting: briefs(s.Waiting, agent.MostUnits),
	}
}

// checkOutcome limits an outcome to possible values.
func checkOutcome(o agent.ExecRequest, out *agent.Outcome) {
	out.Error = fault.Brief(out.Error)
	out.Code = between(0, out.Code, 255)
	if unix.SignalNum(out.Signal) == 0 {
		out.Signal = ""
	}
	var survivors []int
	for _, pid := range out.Survivors {
		if pid >= 1 && pid <= mostPID && len(survivors) < mostTexts {
			survivors = append(survivors, pid)
		}
	}
	out.Survivors = survivors
	if o.Watch.Volume == "" {
		out.Usage = nil
	}
	if out.Usage != nil {
		checkUsage(o.Watch, out.Usage)
	}
}

// checkUsage limits the disk usage of a script to possible values. The caller knows the size of
// the volume.
func checkUsage(w agent.Watch, u *agent.Usage) {
	u.Used, u.Peak, u.Files = between(0, u.Used, mostBytes), between(0, u.Peak, mostBytes), between(0, u.Files, mostBytes)
	var full []string
	for _, path := range []string{w.Volume, w.TMPDIR} {
		if path != "" && slices.Contains(u.Full, path) && !slices.Contains(full, path) {
			full = append(full, path)
		}
	}
	u.Full = full
}

// mountFaults returns the reported faults of requested mounts, each once.
func mountFaults(asked []agent.Mount, reported []agent.MountFault) (all []agent.MountFault) {
	for _, m := range asked {
		n := slices.IndexFunc(reported, func(f agent.MountFault) bool { return f.Target == m.Target })
		if n < 0 {
			continue
		}
		f := agent.MountFault{Target: m.Target, Reason: fault.Brief(reported[n].Reason)}
		if m.Spare != "" && reported[n].Moved == m.Spare {
			f.Moved, f.Restored = m.Spare, reported[n].Restored
		}
		all = append(all, f)
	}
	return all
}

// checkVersions returns the reported versions of tools that the agent was asked about.
func checkVersions(r agent.VersionsResponse) (map[string]string, error) {
	if r.Error != "" {
		return nil, errors.New(fault.Brief(r.Error))
	}
	all := map[string]string{}
	for _, commands := range known.Tools {
		for _, command := range commands {
			if v := r.Versions[command]; v != "" && len(v) <= longestVersion && known.Number(v) == v {
				all[command] = v
			}
		}
	}
	return all, nil
}

// checkTidyResponse limits a response to possible values.
func checkTidyResponse(r agent.TidyResponse) (agent.TidyResponse, error) {
	versions, err := checkVersions(agent.VersionsResponse{Versions: r.Versions, Error: r.Error})
	return agent.TidyResponse{Images: between(0, r.Images, mostImages), Versions: versions}, err
}

func briefs(texts []string, most int) (all []string) {
	for _, text := range texts[:min(len(texts), most)] {
		all = append(all, fault.Brief(text))
	}
	return all
}

func between[N int | int64](least, n, most N) N { return min(max(least, n), most) }
