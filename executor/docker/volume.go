package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/storage"
)

// admitted is a job that fits on the disk.
type admitted struct {
	backend storage.Backend
	why     string // the reason for this backend
	state   storage.State
	// engineFolder is the engine's data folder; empty if this process cannot see it.
	engineFolder string
	// disk is the disk image behind the volume if that is kept for the project's next job; nil
	// otherwise. Grow means that its file system is smaller than the image.
	disk *job.Disk
	grow bool
	// again repeats the check after the pulls, which take space.
	again func(context.Context) error
}

// admit chooses the backend of the job's storage volume, and records how much of the disk
// the job may use. If there is not enough space, it frees some first, or refuses the job.
func (b *Backend) admit(ctx context.Context, p job.Plan, info engine.Info) (*admitted, error) {
	defer observe.Begin(ctx, observe.Admit)()
	host := storage.Host{Folder: p.Volume.Folder}
	engines := b.Room.EngineFolder(info)
	if volumes := filepath.Join(engines, "volumes"); engines != "" && there(volumes) {
		host.Volumes = volumes
	}
	backend, why, err := storage.Choose(p.Volume.Backend, host)
	if err != nil {
		return nil, err
	}
	name := p.Identity.Name()
	a := &admitted{backend: backend, why: why, engineFolder: engines}
	a.state = storage.State{Backend: backend.Name(), Driver: p.Storage.Driver, Hard: backend.Hard()}
	a.state.Limit = p.Volume.Size
	if host.Volumes != "" {
		a.state.Mountpoint = filepath.Join(host.Volumes, name, "_data")
	}
	if err := b.Dir.MakeJob(name); err != nil {
		return nil, fmt.Errorf("the job's folder: %w", err)
	}
	a.again = func(ctx context.Context) error {
		claim := func() error { return b.claim(ctx, p, backend, engines, &a.state) }
		err := claim()
		if no, ok := errors.AsType[*storage.NoRoom](err); ok {
			return b.Room.Make(ctx, no, engines, claim)
		}
		return err
	}
	return a, a.again(ctx)
}

// there reports whether path exists.
func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// makeVolume makes the job's storage volume and logs its properties in one line. The
// volume is held until release is called; from then on the job's containers hold it.
func (b *Backend) makeVolume(ctx context.Context, p job.Plan, a *admitted, generation string, j *journal.Journal) (release func(), err error) {
	folder := b.Dir.Job(p.Identity.Name())
	request := storage.Request{Folder: folder, Size: p.Volume.Size}
	history := ""
	if p.Folders.KeepStorage {
		if history, err = b.takeDisk(ctx, p, a, generation, j); err != nil {
			return nil, err
		}
	}
	if a.disk != nil {
		request.Image = b.Kept.Disks.Image(p.Identity.Name())
	}
	v, err := a.backend.Make(ctx, request)
	if unclean, ok := errors.AsType[*storage.Unclean](err); ok && a.disk != nil {
		history = fmt.Sprintf("new, because the kept one cannot be used: %v", unclean)
		*a.disk = b.wantedDisk(p, generation)
		if err = b.Kept.Disks.Renew(p.Identity.Name()); err == nil {
			v, err = a.backend.Make(ctx, request)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making the job's storage volume (%s): %w", a.backend.Name(), err)
	}
	a.state.Image, a.grow = v.Image, v.Grow
	err = a.state.Write(folder)
	if err == nil {
		err = b.createVolume(ctx, j, p.Identity.Name(), v.Options, labels(p, job.RoleStorage))
	}
	if err != nil {
		return nil, errors.Join(err, v.Release())
	}
	limit := "no limit"
	if a.backend.Hard() {
		limit = format.Bytes(p.Volume.Size)
	}
	if history != "" {
		history = "; " + history
	}
	b.Log.Infof("Storage volume: %s, %s (%s)%s.", a.backend.Name(), limit, a.why, history)
	return func() { _ = v.Release() }, nil
}

// claim records how much of the disk the job may use, or returns a *storage.NoRoom. It
// holds a lock, so that two jobs do not claim the same space.
func (b *Backend) claim(ctx context.Context, p job.Plan, volumes storage.Backend, engines string, state *storage.State) error {
	unlock, err := b.Dir.LockAdmission(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := storage.Claims(b.Dir.Jobs(), p.Identity.Name(), b.Log)
	if err != nil {
		return err
	}
	a := storage.Admission{MinFree: p.Volume.MinFree, Overcommit: p.Volume.Overcommit, Running: running}
	pool, known, err := volumes.Pool()
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
	return state.Write(b.Dir.Job(p.Identity.Name()))
}

// noteVolume records what the inspection of the job container found about its volume.
func (b *Backend) noteVolume(m *made, driver string, r agent.InspectResponse) error {
	s := m.state
	s.Driver = driver
	s.Used = r.VolumeUsed
	s.Used = s.Possible().Now() // prefer what this process can measure itself
	s.Base, s.Peak = s.Used, s.Used
	if m.disk != nil {
		if m.disk.Base == 0 {
			m.disk.Base = s.Used
		}
		s.Base = m.disk.Base
	}
	return s.Write(b.Dir.Job(m.Identity.Name()))
}

// makeFolders makes TMPDIR in a container that has not been started, before its first
// process needs it. For this, the engine also makes the mount points of all mounts, and
// their parents belong to root on the host. In such a parent the runtime of a remapped
// container cannot make the mount point of a tmpfs, so it is made here, too. The engine
// makes folders as root: it does not make a TMPDIR that the job chose if the container
// runs as another user, and does not change one that exists.
func (b *Backend) makeFolders(ctx context.Context, id string, m *made, c engine.Container, user string) error {
	paths := slices.Sorted(maps.Keys(c.Tmpfs))
	if t := jobcontainer.TMPDIR(m.Storage); !t.ByUser {
		paths = append(paths, t.Path)
	} else if job.IsRoot(user) {
		there, err := b.Engine.HasPath(ctx, id, t.Path)
		if err != nil {
			return err
		}
		if !there {
			paths = append(paths, t.Path)
		}
	}
	for _, path := range paths {
		if err := b.Engine.MakeFolder(ctx, id, path, 0o1777); err != nil {
			return err
		}
	}
	return nil
}

// remakeTMPDIR makes TMPDIR again in a service that has just been started: if the volume
// is a tmpfs, the first one is lost at the start.
func (b *Backend) remakeTMPDIR(ctx context.Context, id string, m *made) error {
	if m.backend.Name() != storage.Tmpfs || jobcontainer.TMPDIR(m.Storage).ByUser {
		return nil
	}
	return b.Engine.MakeFolder(ctx, id, m.Storage.TMPDIR, 0o1777)
}
