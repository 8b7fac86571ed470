package docker

import (
	"context"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
)

const (
	// stopGrace is the time for the job's processes to end, for the agent to kill the
	// rest, and to unmount from inside.
	stopGrace = 10 * time.Second
	// helperGrace is shorter than stopGrace: nothing runs in the helper container any more.
	helperGrace = 2 * time.Second
)

// containers is the kind of the job container, the helper container and the services.
type containers struct{ *Backend }

func (containers) Name() journal.Kind { return journal.Container }

// Round is long because a container is stopped before it is removed.
func (containers) Traits() removal.Traits { return removal.Traits{Asked: true, Round: 3 * stopGrace} }

func (k containers) List(ctx context.Context, job string) ([]removal.Resource, error) {
	return list(ctx, journal.Container, job, k.Engine.FindContainers)
}

// Adopt ends processes of a container that the engine has already removed.
func (containers) Adopt(ctx context.Context, _ string, noted journal.Resource) (removal.Resource, bool, error) {
	if noted.Answered && noted.Detail != "" {
		teardown.EndShims(ctx, noted.Detail)
	}
	return removal.Resource{}, false, nil
}

// Examine finds what belongs to a container but does not have our labels: the volumes
// that the engine made for its image, and the folders of its root file system.
func (k containers) Examine(ctx context.Context, r *removal.Resource, rec removal.Recorder) {
	d, err := k.Engine.Look(ctx, r.ID)
	if err != nil {
		return // the container is being removed, or its removal reports the error
	}
	r.Paths = d.Paths
	k.Kept.Used(d.Volumes)
	for _, v := range d.Anonymous {
		if err := rec.Intend(journal.Resource{Kind: journal.Volume, Name: v, Detail: anonymous, Answered: true}); err != nil {
			k.Log.Debugf("volume %s of container %s: %v", v, r.Name, err)
		}
	}
}

func (k containers) Remove(ctx context.Context, r removal.Resource, rec removal.Recorder) error {
	grace := helperGrace
	switch job.Role(r.Labels[job.LabelRole]) {
	case job.RoleBuild:
		grace = stopGrace
		k.unmountInside(ctx, r.ID, rec)
	case job.RoleService:
		grace = k.ServiceGrace
	}
	stopped := grace <= 0 // the removal kills it
	err := remove(ctx, r.ID, func(ctx context.Context, id string) error {
		if !stopped {
			// Stop first, so that PID 1 can end the other processes in order. The
			// removal below reports a container that does not exist.
			exit, err := k.Engine.StopContainer(ctx, id, grace)
			if engine.IsUnreachable(err) {
				return err
			}
			stopped = true
			if job.Role(r.Labels[job.LabelRole]) == job.RoleBuild {
				k.closeDisk(r.Job, rec, exit, err)
			}
		}
		return k.Engine.RemoveContainer(ctx, id)
	})
	if err == nil {
		teardown.EndShims(ctx, r.ID)
	}
	return err
}

func (containers) Users(context.Context, removal.Resource) []string { return nil }

// unmountInside unmounts what the job mounted, while the container's mount namespace
// exists. The agent does this as PID 1 when it is stopped. Here it is done for
// containers with another PID 1.
func (k containers) unmountInside(ctx context.Context, id string, rec removal.Recorder) {
	var e job.Environment
	if ok, err := rec.Facts(&e); err != nil || !ok || e.Init {
		return
	}
	report, err := k.Inside(id, owner.Process{}, jobcontainer.Name).Unmount(ctx, agent.UnmountRequest{Below: []string{storage.Mountpoint, storage.ShortMountpoint, e.TMPDIR}})
	if err != nil {
		k.Log.Debugf("unmounting from inside: %v", err)
		return
	}
	for _, text := range report.Left {
		k.Log.Debugf("unmounting from inside: %s", text)
	}
}

// volumes is the kind of the volumes that are removed with the job.
type volumes struct{ *Backend }

func (volumes) Name() journal.Kind { return journal.Volume }

func (volumes) Traits() removal.Traits {
	return removal.Traits{Asked: true, Beside: true, Round: round}
}

func (k volumes) List(ctx context.Context, job string) ([]removal.Resource, error) {
	return list(ctx, journal.Volume, job, k.Engine.FindVolumes)
}

// Adopt returns the journal's entry if the engine has answered the request. Otherwise
// it searches for a volume that has lost its labels.
func (k volumes) Adopt(ctx context.Context, name string, noted journal.Resource) (r removal.Resource, ok bool, err error) {
	if noted.Answered {
		r = removal.Resource{Resource: noted, Job: name, ID: noted.Name}
		return r, noted.Detail == anonymous, nil
	}
	err = teardown.RetryAs(ctx, meaning, func(ctx context.Context) error {
		found, err := k.Engine.FindVolume(ctx, noted.Name)
		if ok = err == nil && lostLabels(found, noted); ok {
			r = resource(journal.Volume, name, found)
			r.Resource = noted
		}
		return err
	})
	return r, ok, err
}

// anonymous is the journal's detail of a volume that the engine made for a container.
// It is removed with the container.
const anonymous = "anonymous"

// lostLabels reports whether v is the volume that was requested, without its labels.
// An engine that is killed after it makes the volume's folder and before it saves the
// labels has such a volume (Engine 20.10). An older volume is not the job's. The minute
// allows for the clock of an engine on another machine.
func lostLabels(v engine.Found, asked journal.Resource) bool {
	return v.Name == asked.Name && len(v.Labels) == 0 && v.Made.After(asked.At.Add(-time.Minute))
}

func (volumes) Examine(context.Context, *removal.Resource, removal.Recorder) {}

func (k volumes) Remove(ctx context.Context, r removal.Resource, rec removal.Recorder) error {
	err := remove(ctx, r.ID, k.Engine.RemoveVolume)
	if err == nil {
		k.detached(ctx, r, rec)
	}
	return err
}

// detached waits until the kernel has released what is behind the job's storage volume.
// A loop device that is still in use occupies the disk space of its image. It is
// recorded in the journal, because no other record names it.
func (k volumes) detached(ctx context.Context, r removal.Resource, rec removal.Recorder) {
	device, image, err := storage.AwaitRelease(ctx, k.Dir.Job(r.ID))
	if err != nil {
		k.Log.Warnf("Could not check whether storage volume %s left a loop device: %v", r.Name, err)
		return
	}
	if device == "" {
		return
	}
	file := teardown.LoopFile(device)
	// The file is another job's if the device was released before it was read.
	if device, err := storage.LoopDevice(image); device == "" || err != nil {
		return
	}
	err = rec.Intend(journal.Resource{Kind: journal.Loop, Name: device, Detail: file, Answered: true})
	if err != nil {
		k.Log.Debugf("loop device %s: %v", device, err)
	}
}

func (k volumes) Users(ctx context.Context, r removal.Resource) []string {
	users, _ := k.Engine.Users(ctx, "volume", r.ID) // only used in a message
	return users
}
