package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/storage"
)

// VolumeState is what is known of a job's storage volume while the job lives.
type VolumeState = storage.State

// VolumeState reads what is known of the storage volume of the named job.
func (x *Executor) VolumeState(name string) (VolumeState, error) {
	return storage.ReadState(x.state().Job(name))
}

func (x *Executor) setVolumeState(name string, s VolumeState) error {
	return s.Write(x.state().Job(name))
}

// admitted is a job for which there is room.
type admitted struct {
	backend storage.Backend
	why     string // that backend
	state   VolumeState
	// engineFolder is on the engine's disk, where that is seen from here.
	engineFolder string
	// again looks once more whether there is room: pulls have taken some.
	again func(context.Context) error
}

// admit chooses what the job's storage volume consists of, and writes down what the job
// may take of the disk, or refuses it. Where there is no room, it makes some first.
func (x *Executor) admit(ctx context.Context, p plan, info engine.Info) (*admitted, error) {
	host := storage.Host{Folder: p.Volume.Folder}
	engines := x.room().EngineFolder(info)
	if volumes := filepath.Join(engines, "volumes"); engines != "" && exists(volumes) {
		host.Volumes = volumes
	}
	backend, why, err := storage.Choose(p.Volume.Backend, host)
	if err != nil {
		return nil, err
	}
	name := p.Identity.Name()
	a := &admitted{backend: backend, why: why, engineFolder: engines}
	a.state = VolumeState{Backend: backend.Name(), Driver: p.Storage.Driver, Hard: backend.Hard()}
	a.state.Limit = p.Volume.Size
	if host.Volumes != "" {
		a.state.Mountpoint = filepath.Join(host.Volumes, name, "_data")
	}
	if err := x.state().MakeJob(name); err != nil {
		return nil, fmt.Errorf("the job's folder: %w", err)
	}
	a.again = func(ctx context.Context) error {
		claim := func() error { return x.claim(ctx, p, backend, engines, &a.state) }
		err := claim()
		if no, ok := errors.AsType[*storage.NoRoom](err); ok {
			return x.room().Make(ctx, no, engines, claim)
		}
		return err
	}
	return a, a.again(ctx)
}

// makeVolume makes the job's storage volume and says in one line which. What is returned
// holds the volume until the job's containers do.
func (x *Executor) makeVolume(ctx context.Context, p plan, a *admitted, j *journal.Journal) (*storage.Volume, error) {
	name := p.Identity.Name()
	v, err := a.backend.Make(ctx, storage.Request{Folder: x.folder(p.Identity), Size: p.Volume.Size})
	if err != nil {
		return nil, fmt.Errorf("making the job's storage volume (%s): %w", a.backend.Name(), err)
	}
	a.state.Image = v.Image
	err = x.setVolumeState(name, a.state)
	if err == nil {
		err = x.createVolume(ctx, j, name, v.Options, labels(p, job.RoleStorage))
	}
	if err != nil {
		return nil, errors.Join(err, v.Release())
	}
	limit := "no limit"
	if a.backend.Hard() {
		limit = format.Bytes(p.Volume.Size)
	}
	x.Log.Infof("Storage volume: %s, %s (%s).", a.backend.Name(), limit, a.why)
	return v, nil
}

// claim writes down what the job may take, or refuses it with a *storage.NoRoom. One job
// at a time is looked at, so that two do not get the same room.
func (x *Executor) claim(ctx context.Context, p plan, b storage.Backend, engines string, state *VolumeState) error {
	unlock, err := x.state().LockAdmission(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := x.claims(p.Identity.Name())
	if err != nil {
		return err
	}
	a := storage.Admission{MinFree: p.Volume.MinFree, Overcommit: p.Volume.Overcommit, Running: running}
	pool, known, err := b.Pool()
	if err != nil {
		return err
	}
	if known {
		state.Pool, a.Pool = pool.ID, pool
		if err := a.Admit("the job's storage volume", p.Volume.Size); err != nil {
			return err
		}
	}
	if engines != "" {
		if a.Pool, err = storage.DiskPool(engines); err != nil {
			return err
		}
		if !known || a.Pool.ID != pool.ID {
			if err := a.Admit("images, logs and folders of the job on the engine's disk", 0); err != nil {
				return err
			}
		}
	}
	return x.setVolumeState(p.Identity.Name(), *state)
}

// claims are those of all jobs on this machine but the named one.
func (x *Executor) claims(but string) ([]storage.Claim, error) {
	entries, err := os.ReadDir(x.state().Jobs())
	if err != nil {
		return nil, err
	}
	var all []storage.Claim
	for _, e := range entries {
		if e.Name() == but {
			continue
		}
		s, err := x.VolumeState(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has none yet, or is being removed
		} else if err != nil {
			x.Log.Warnf("What a job may still take of the disk is not known: %v", err)
			continue
		}
		all = append(all, s.Claim)
	}
	return all, nil
}

// settled are the settings of the job's own container after the look at it: native
// overlay where it was asked for and passed the trial. The agent has written the
// same. What services have stays as they were started.
func (x *Executor) settled(p plan, r agent.Report) storage.Settings {
	if p.Volume.Overlay && r.OverlayFault != "" {
		x.Log.Warnf("Storage driver vfs is used: native overlay does not work in this container: %s.", r.OverlayFault)
	}
	return p.Storage.Settle(p.Volume.Overlay && r.OverlayFault == "", r.UID, p.images.Stores())
}

// noteVolume notes what the look at the job's container found of its volume.
func (x *Executor) noteVolume(p plan, driver string, r agent.Report) error {
	s, err := x.VolumeState(p.Identity.Name())
	if err != nil {
		return err
	}
	s.Driver = driver
	s.Used = r.VolumeUsed
	s.Used = s.Possible().Now() // what can be seen from here counts more
	s.Base, s.Peak = s.Used, s.Used
	return x.setVolumeState(p.Identity.Name(), s)
}

// storageMounts are those of the storage volume and of the images that all jobs share.
func (x *Executor) storageMounts(p plan) []engine.Mount {
	mounts := []engine.Mount{{Kind: engine.Volume, Source: p.Identity.Name(), Target: storage.Mountpoint}}
	if p.images.Volume != "" {
		mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: p.images.Volume, Target: storage.ImageStores, ReadOnly: true})
	}
	return mounts
}

// makeFolders makes TMPDIR in a container that has not been started, before its
// first process looks for it. To do so the engine makes the places of all mounts,
// with parents that are its own root's: in those a remapped container's runtime
// can make no place for a tmpfs, so it has to be there as well. The engine makes
// folders as root: it makes no TMPDIR of the job's choice for other users of the
// container, and leaves one that is there as it is.
func (x *Executor) makeFolders(ctx context.Context, id string, p plan, c engine.Container, user string) error {
	paths := slices.Sorted(maps.Keys(c.Tmpfs))
	if t := tmpdir(p); !t.ByUser {
		paths = append(paths, t.Path)
	} else if job.IsRoot(user) {
		there, err := x.Engine.HasPath(ctx, id, t.Path)
		if err != nil {
			return err
		}
		if !there {
			paths = append(paths, t.Path)
		}
	}
	for _, path := range paths {
		if err := x.Engine.MakeFolder(ctx, id, path, 0o1777); err != nil {
			return err
		}
	}
	return nil
}

// remakeTMPDIR makes TMPDIR again in a service that has just been started: a
// volume in memory lost what was made in it before.
func (x *Executor) remakeTMPDIR(ctx context.Context, id string, p plan) error {
	s, err := x.VolumeState(p.Identity.Name())
	if err != nil || s.Backend != storage.Tmpfs || tmpdir(p).ByUser {
		return err
	}
	return x.Engine.MakeFolder(ctx, id, p.Storage.TMPDIR, 0o1777)
}

// watch is what the agent looks at while a script runs.
func (x *Executor) watch(p plan) agent.Watch {
	s, err := x.VolumeState(p.Identity.Name())
	return agent.Watch{Volume: storage.Mountpoint, TMPDIR: p.Storage.TMPDIR, Hard: err == nil && s.Hard}
}

// tellUsage takes down what a script used of the storage volume and tells the
// job's log what its author ought to know.
func (x *Executor) tellUsage(i Identity, u *agent.Usage, report bool) {
	if u == nil {
		return
	}
	s, err := x.VolumeState(i.Name())
	if err != nil {
		x.Log.Warnf("The use of the storage volume is not known: %v", err)
		return
	}
	s.Used, s.Peak = u.Used, max(s.Peak, u.Peak)
	s = s.Possible()
	if report && s.Hard {
		s.Used = s.Now()
	}
	if err := x.setVolumeState(i.Name(), s); err != nil {
		x.Log.Warnf("The use of the storage volume could not be noted: %v", err)
	}
	if report {
		x.Log.Info(s.Line(u.Files))
	}
}
