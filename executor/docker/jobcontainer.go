package docker

import (
	"cmp"
	"context"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
)

// started is a running container.
type started struct {
	id    string
	asked engine.Container // requested from the engine
	setup agent.Setup      // requested from the agent
	// storage are the settings at creation.
	storage storage.Settings
	local
}

// agent is the container's first process if that is the agent, as in job.Environment.
func (s started) agent() owner.Process {
	if systemdRuns(s.asked) {
		return owner.Process{}
	}
	return s.first
}

// startJob makes and starts the job container.
func (b *Backend) startJob(ctx context.Context, m *made, img engine.Image) (started, error) {
	s, err := b.jobContainer(m, img)
	if err != nil {
		return s, err
	}
	if s.id, err = b.createContainer(ctx, m.journal, s.asked); err != nil {
		return s, err
	}
	if systemdRuns(s.asked) { // otherwise the agent, as PID 1, does both
		if err := b.fitSubIDs(ctx, s.id); err != nil {
			return s, err
		}
		if err := b.makeFolders(ctx, s.id, m, s.asked, s.setup.User); err != nil {
			return s, err
		}
	}
	if err := b.startContainer(ctx, m, s.id); err != nil {
		return s, b.Engine.ExplainRuntime(ctx, m.Runtime, explainSystemd(m.Image.Reference, s.asked, err))
	}
	s.local = b.localOf(ctx, s.id)
	return s, nil
}

// jobContainer writes the settings of the job container and returns its description.
func (b *Backend) jobContainer(m *made, img engine.Image) (s started, err error) {
	name, user := m.Identity.Name(), cmp.Or(m.User, img.User)
	settings := m.storageFor(user)
	files, err := b.writeSettings(m.Identity, name, settings, jobcontainer.CertainLimits(m.Resources))
	if err != nil {
		return s, err
	}
	var defaults []string
	if m.disk != nil {
		defaults = append(defaults, layers)
	}
	env := jobcontainer.Environment(m.Environment, settings, user, defaults...)
	c := m.container(name, m.Runtime, job.RoleBuild, img, env, files)
	o := jobcontainer.InitRequest(m.Plan, first(m.Plan, img, c.Mounts, m.taken.CacheMounts != ""))
	request, err := jobcontainer.RequestWord(o)
	if err != nil {
		return s, err
	}
	spec.RunAgent(&c, request, cmp.Or(img.WorkingDir, "/"))
	if c.Rights, err = spec.JobRights(m.Hardening, m.Container); err != nil {
		return s, err
	}
	c.Platform, c.Hostname, c.Aliases = m.Image.Platform, m.Hostname, []string{service.JobName}
	c.Tmpfs, c.Resources = spec.Tmpfs(m.Container.Tmpfs), spec.Resources(m.Resources)
	c.StopSignal = "SIGTERM" // the agent is PID 1, so the image's signal does not apply
	err = b.arrangeSystemd(m.Plan, jobcontainer.FirstProcess{Systemd: m.Systemd, Entrypoint: m.Entrypoint}, img, &c)
	return started{asked: c, setup: o.Setup, storage: settings}, err
}

// first describes the job container's first process, in a container with these mounts.
func first(p job.Plan, img engine.Image, mounts []engine.Mount, cacheMounts bool) jobcontainer.First {
	return jobcontainer.First{
		User: cmp.Or(p.User, img.User), Entrypoint: jobcontainer.Entrypoint(p.Entrypoint, img.Entrypoint), WorkingDir: img.WorkingDir,
		Targets: spec.Targets(mounts), CacheMounts: cacheMounts,
	}
}

// layers makes Buildah use the layers of earlier builds, which is not its default.
const layers = "BUILDAH_LAYERS=true"
