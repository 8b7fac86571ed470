package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"gitlab-sysbox-executor/executor/walk"
)

// Inspect answers an InspectRequest read from in with an InspectResponse written to out.
func Inspect(in io.Reader, out io.Writer) error {
	return answer("inspect", in, out, InspectRequest.respond)
}

func (o InspectRequest) respond() InspectResponse {
	facts, err := o.readFacts()
	if err != nil {
		return InspectResponse{Error: fmt.Sprintf("the image's user: %v", err)}
	}
	r := o.report()
	if r.Error == "" {
		r.Image = facts
	}
	return r
}

func (o InspectRequest) report() InspectResponse {
	booted, err := o.awaitBoot()
	if err != nil {
		return InspectResponse{Error: err.Error(), JobFault: true}
	}
	r := InspectResponse{Shell: findShell(), Entrypoint: EntrypointNone, Systemd: booted}
	var h handover
	if o.Init && r.Shell != "" {
		// Before the rest: the first process may still be setting up the container.
		if h, err = askHandover(o.EntrypointTimeout); err != nil {
			return InspectResponse{Error: err.Error()}
		}
		r.Entrypoint, r.EntrypointCode, r.EntrypointFault = h.State, h.Code, h.Fault
	}
	// systemd clears /tmp while it boots, so this comes after it.
	a, err := o.Setup.apply()
	if err != nil {
		return InspectResponse{Error: err.Error(), JobFault: true}
	}
	r.EmulateFault = emulateFault(o.Emulate) // systemd may have removed registrations while it booted
	if h.Account != nil {
		a = *h.Account // the user with which the entrypoint executed its command
		if err := o.CacheMounts.link(a); err != nil {
			return InspectResponse{Error: fmt.Sprintf("kept cache mounts: %v", err)}
		}
	}
	env := os.Environ()
	if h.State == EntrypointReady {
		env = h.Env
	}
	r.UID, r.GID = a.UID, a.GID
	if r.Shell == "" {
		return r
	}
	deadline := time.Now().Add(o.Timeout)
	if o.Clear != "" {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		if err := walk.RemovePath(ctx, o.ClearIn, o.Clear); err != nil {
			return InspectResponse{Error: fmt.Sprintf("clearing %s in %s: %v", o.Clear, o.ClearIn, err), JobFault: ctx.Err() != nil}
		}
	}
	for _, f := range o.Folders {
		if f.Owned {
			if err := give(f.Path, a, deadline); err != nil {
				return InspectResponse{Error: err.Error(), JobFault: errors.Is(err, errTooMany)}
			}
		}
	}
	if r.Limits, err = hardLimits(); err != nil {
		return InspectResponse{Error: fmt.Sprintf("the container's limits: %v", err)}
	}
	if r.MountFaults, err = checkMounts(o.Mounts); err != nil {
		return InspectResponse{Error: fmt.Sprintf("the container's mount table: %v", err)}
	}
	if r.ANSIQuoting, err = knowsANSIQuoting(r.Shell, a.attributes()); err != nil {
		return InspectResponse{Error: fmt.Sprintf("the image's shell %s does not work: %v", r.Shell, err), JobFault: true}
	}
	r.Git, r.ProgramMissing = has("git"), o.Program != "" && !has(o.Program)
	if o.Volume != "" {
		s, err := spaceAt(o.Volume)
		if err != nil {
			return InspectResponse{Error: fmt.Sprintf("the storage volume %s: %v", o.Volume, err)}
		}
		r.VolumeUsed = s.used
	}
	if err := o.settle(&r, a, env, deadline); err != nil {
		return InspectResponse{Error: err.Error()}
	}
	return r
}

// settle tries what the settings of container tools depend on, and adapts their files.
func (o InspectRequest) settle(r *InspectResponse, a account, env []string, deadline time.Time) error {
	if o.ProbeOverlay {
		if err := ProbeOverlay(o.Volume); err != nil {
			r.OverlayFault = err.Error()
		}
	}
	if o.Tools == nil {
		return nil
	}
	settings := o.Tools.Settings.Settle(o.ProbeOverlay && r.OverlayFault == "", r.UID, o.Tools.Stores)
	if err := writeSettings(settings, r.Limits); err != nil {
		return err
	}
	if settings.TryIsolation != "" { // now that it has the settings of the job's scripts
		r.setIsolation(settings, a, env, deadline)
	}
	return nil
}

// has reports whether a program is on the PATH.
func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// awaitBoot waits until systemd has booted; nil if it does not run.
func (o InspectRequest) awaitBoot() (*Systemd, error) {
	if o.SystemdTimeout == 0 {
		return nil, nil
	}
	s, err := awaitSystemd(o.SystemdTimeout)
	if err == nil {
		err = fitIDs(o.IDs)
	}
	return &s, err
}
