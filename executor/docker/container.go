package docker

import (
	"context"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
)

const (
	// stopGrace is how long the job's own processes have to end, be ended by the
	// agent, and be unmounted from inside.
	stopGrace = 10 * time.Second
	// serviceGrace is how long a service has: nobody uses it any more.
	serviceGrace = 2 * time.Second
)

// containers are the jobs' containers: the job's own, its helper and its services.
type containers struct{ *Backend }

func (containers) Name() journal.Kind { return journal.Container }

// A container has to be ended, too.
func (containers) Traits() removal.Traits { return removal.Traits{Asked: true, Round: 3 * stopGrace} }

func (k containers) List(ctx context.Context, job string) ([]removal.Resource, error) {
	return list(ctx, journal.Container, job, k.Engine.FindContainers)
}

// Adopt ends what runs on of a container that the engine has removed.
func (containers) Adopt(ctx context.Context, _ string, noted journal.Resource) (removal.Resource, bool, error) {
	if noted.Answered && noted.Detail != "" {
		teardown.EndShims(ctx, noted.Detail)
	}
	return removal.Resource{}, false, nil
}

// Examine learns what belongs to a container without bearing our labels: the volumes
// that its image made it have, and the folders of its root.
func (k containers) Examine(ctx context.Context, r *removal.Resource, rec removal.Recorder) {
	d, err := k.Engine.Look(ctx, r.ID)
	if err != nil {
		return // it is going, or its removal will report it
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
	grace := serviceGrace
	if job.Role(r.Labels[job.LabelRole]) == job.RoleBuild {
		grace = stopGrace
		k.unmountInside(ctx, r.ID, rec)
	}
	stopped := false
	err := remove(ctx, r.ID, func(ctx context.Context, id string) error {
		if !stopped {
			// The first process ends the others in an orderly way, as far as time allows.
			// Whether there is such a container is what its removal says.
			if err := k.Engine.StopContainer(ctx, id, grace); engine.IsUnreachable(err) {
				return err
			}
			stopped = true
		}
		return k.Engine.RemoveContainer(ctx, id)
	})
	if err == nil {
		teardown.EndShims(ctx, r.ID)
	}
	return err
}

func (containers) Users(context.Context, removal.Resource) []string { return nil }

// unmountInside takes down the mounts that the job made, while the container's
// mount name space lives. Our own first process does so when it is asked to end;
// here it is done for containers whose first process is another.
func (k containers) unmountInside(ctx context.Context, id string, rec removal.Recorder) {
	var e job.Environment
	if ok, err := rec.Facts(&e); err != nil || !ok || e.Init {
		return
	}
	report, err := k.Inside(id, JobContainer).Unmount(ctx, agent.UnmountOrder{Below: []string{storage.Mountpoint, e.TMPDIR}})
	if err != nil {
		k.Log.Debugf("unmounting from inside: %v", err)
		return
	}
	for _, text := range report.Left {
		k.Log.Debugf("unmounting from inside: %s", text)
	}
}

// volumes are the jobs' own volumes.
type volumes struct{ *Backend }

func (volumes) Name() journal.Kind { return journal.Volume }

func (volumes) Traits() removal.Traits { return removal.Traits{Asked: true, Round: round} }

func (k volumes) List(ctx context.Context, job string) ([]removal.Resource, error) {
	return list(ctx, journal.Volume, job, k.Engine.FindVolumes)
}

// Adopt finds a volume that has lost its labels, and takes the journal's word for one
// that the engine named.
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

// anonymous is the journal's detail of a volume that goes with the container for
// which the engine made it.
const anonymous = "anonymous"

// lostLabels tells whether a volume of the name that was asked for is what came of
// it: an engine that is killed between making a volume's folder and writing down its
// labels has it without any (Engine 20.10). One that is older is somebody else's; an
// engine on another machine may have another time.
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

// detached waits until the kernel has taken back what was behind the job's storage
// volume. A device that somebody keeps, with its image's space on the disk, is
// recorded: nothing else names it.
func (k volumes) detached(ctx context.Context, r removal.Resource, rec removal.Recorder) {
	device, err := storage.AwaitRelease(ctx, k.Dir.Job(r.ID))
	if err != nil {
		k.Log.Warnf("Whether the storage volume %s has left a loop device is not known: %v", r.Name, err)
	} else if device != "" {
		err = rec.Intend(journal.Resource{Kind: journal.Loop, Name: device, Detail: teardown.LoopFile(device), Answered: true})
		if err != nil {
			k.Log.Debugf("loop device %s: %v", device, err)
		}
	}
}

func (k volumes) Users(ctx context.Context, r removal.Resource) []string {
	users, _ := k.Engine.Users(ctx, "volume", r.ID) // only for a message
	return users
}
