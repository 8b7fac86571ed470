package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
)

// made is a job's plan with the resources that all of its containers share. It does not
// change after makeParts has returned it.
type made struct {
	job.Plan
	*admitted
	journal *journal.Journal
	taken   kept.Taken
	// generation is that of the shared images; zero if the job has none.
	generation shared.Generation
	// mounts are common to all containers. Each container also has its own settings.
	mounts     []engine.Mount
	logOptions map[string]string
}

// makeParts makes what the job's containers share. The kept volumes and the images are
// held until release is called.
func (b *Backend) makeParts(ctx context.Context, p job.Plan, a *admitted, images []engine.Image, info engine.Info, j *journal.Journal) (m *made, release func(), err error) {
	m = &made{Plan: p, admitted: a, journal: j, logOptions: spec.LogOptions(p.Container, info.LogDriver)}
	var letGo [3]func()
	release = func() {
		for _, r := range letGo {
			if r != nil {
				r()
			}
		}
	}
	defer observe.Begin(ctx, observe.Resources)()
	if p.SharedImages {
		m.generation, letGo[2] = b.Shared.Take(ctx)
	}
	// None of these needs another. Each waits for the disk or the engine.
	var making errgroup.Group
	making.Go(func() error { return b.makeFolder(p) })
	making.Go(func() error { return b.createNetwork(ctx, j, p) })
	making.Go(func() (err error) {
		letGo[0], err = b.makeVolume(ctx, p, a, m.generation.Volume, j)
		return err
	})
	making.Go(func() (err error) {
		m.taken, letGo[1], err = b.Kept.TakeFolders(ctx, p.Identity, p.Folders)
		return err
	})
	if err := making.Wait(); err != nil {
		release()
		return nil, nil, err
	}
	var own []ownVolume
	m.mounts, own = m.shares(images[1:], b.sharedMount(p.Identity))
	for _, v := range own {
		making.Go(func() error { return b.createVolume(ctx, j, v.name, nil, v.labels) })
	}
	if err := making.Wait(); err != nil {
		release()
		return nil, nil, err
	}
	return m, release, nil
}

// ownVolume is a volume that is removed with the job.
type ownVolume struct {
	name   string
	labels map[string]string
}

// shares returns the mounts that the job container and the services have in common,
// including agent, and the volumes that still have to be made for them. Images are those
// of the services.
func (m *made) shares(images []engine.Image, agent engine.Mount) (mounts []engine.Mount, own []ownVolume) {
	name := m.Identity.Name()
	mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: name, Target: storage.Mountpoint},
		engine.Mount{Kind: engine.Volume, Source: name, Target: storage.ShortMountpoint})
	if m.generation.Volume != "" {
		mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: m.generation.Volume, Target: storage.ImageStores, ReadOnly: true})
	}
	for _, f := range []struct {
		kept, target string
		role         job.Role
	}{{m.taken.Builds, m.Folders.Builds, job.RoleBuilds}, {m.taken.Cache, m.Folders.Cache, job.RoleCache}} {
		source := f.kept
		if source == "" {
			source = name + "-" + string(f.role)
			own = append(own, ownVolume{source, m.Identity.Labels(f.role)})
		}
		mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: source, Target: f.target})
	}
	if m.taken.CacheMounts != "" {
		mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: m.taken.CacheMounts, Target: storage.CacheMounts})
	}
	mounts = append(mounts, agent)
	unnamed := func(n int) string { return fmt.Sprintf("%s-shared-%d", name, n) }
	configured := spec.Mounts(m.Container.Volumes, unnamed)
	volumes := slices.Concat(m.Container.Volumes, certificates(m.Plan, images, slices.Concat(mounts, configured)))
	for n, text := range volumes {
		if v, _ := config.ParseVolume(text); v.Source == "" {
			own = append(own, ownVolume{unnamed(n), labels(m.Plan, job.RoleShared)})
		}
	}
	return append(mounts, spec.Mounts(volumes, unnamed)...), own
}

// labels combines the configured labels with those of the job's identity.
func labels(p job.Plan, role job.Role) map[string]string {
	all := config.Pairs(p.Container.Labels)
	maps.Copy(all, p.Identity.Labels(role))
	maps.Copy(all, p.KeepLabel())
	return all
}

// container describes one of the job's containers without a first process, and without
// the rights of the job or of a service.
func (m *made) container(name, runtime string, role job.Role, img engine.Image, env []string, settings []engine.Mount) engine.Container {
	c := spec.New(name, runtime, img, env, m.Network, slices.Concat(m.mounts, settings))
	c.Labels, c.LogOptions, c.Network = labels(m.Plan, role), m.logOptions, m.Identity.Name()
	return c
}

// storageFor are the storage settings of a container whose processes run as user, before
// the container has been inspected. systemd reads its configuration at boot.
func (m *made) storageFor(user string) storage.Settings {
	s := m.Storage
	s.ImageStore = m.generation.StoreOf(s.Driver, user)
	return s
}

// watch is what the agent monitors while a script runs.
func (m *made) watch() agent.Watch {
	return agent.Watch{Volume: storage.Mountpoint, TMPDIR: m.Storage.TMPDIR, Hard: m.backend.Hard()}
}
