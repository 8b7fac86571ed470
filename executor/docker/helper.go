package docker

import (
	"context"
	"fmt"
	"path"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/spec"
)

// toolsFolder holds the runner binary. It is a subfolder of the job's folder that the
// containers share.
const toolsFolder = "bin"

// toolsPath is the path of that folder in the containers.
func toolsPath(h job.Helper) string {
	if h.Tool == "" {
		return ""
	}
	return path.Join(agent.Dir, toolsFolder)
}

// helperHome is the home folder in the helper container. The image does not have the
// job's user.
const helperHome = "/home/job"

// startHelper starts the helper container if the job needs one, and returns what the run
// stage has to know of it, or nil. Its scripts run as the job's user: both containers can
// then change each other's files, and git accepts the repository's owner.
func (b *Backend) startHelper(ctx context.Context, m *made, main started, found agent.InspectResponse) (*job.Environment, error) {
	why := m.Helper.Why(found)
	if why == "" {
		if m.Helper.NeedsTool && m.Helper.Tool == "" {
			b.Log.Warnf("No static %s program was found on this machine: caches and artifacts need one in the job's image. (Name one as helper.runner_binary in the executor's configuration, or set helper.mode to \"container\".)", m.Helper.ToolName)
		}
		return nil, nil
	}
	defer observe.Begin(ctx, observe.Helper)()
	b.Log.Infof("Git, cache and artifacts are done in a helper container, image %s: %s.", m.Helper.Image.Reference, why)
	img, release, err := b.Pulled.Get(ctx, m.Helper.Image)
	if err != nil && m.Helper.Optional && ctx.Err() == nil && !engine.IsUnreachable(err) {
		b.Log.Warnf("The job goes on without a helper container because its image is not available: %v. Steps that need git will fail: install git in the job's image, or name an image with git as helper.image in the executor's configuration.", err)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer release() // by then the container keeps the image
	s, err := b.helperContainer(m, main, img, found)
	if err != nil {
		return nil, err
	}
	if s.id, err = b.createContainer(ctx, m.journal, s.asked); err != nil {
		return nil, err
	}
	if err := b.Engine.StartContainer(ctx, s.id); err != nil {
		return nil, b.Engine.ExplainRuntime(ctx, m.Runtime, err)
	}
	s.local = b.localOf(ctx, s.id)
	r, err := b.examineHelper(ctx, m, s)
	if err != nil {
		return nil, err
	}
	return &job.Environment{
		Container: s.id, First: s.agent(), Shell: r.Shell, ANSIQuoting: r.ANSIQuoting, User: s.setup.User, WorkingDir: "/", Init: true,
		Enforced: main.storage.Enforced(), TMPDIR: main.storage.TMPDIR, Tools: toolsPath(m.Helper), Limits: s.limits(m),
	}, nil
}

// helperContainer describes and starts the helper container. It does not use the settings
// that were found in the job container.
func (b *Backend) helperContainer(m *made, main started, img engine.Image, found agent.InspectResponse) (s started, err error) {
	s.setup = agent.Setup{
		User: fmt.Sprintf("%d:%d", found.UID, found.GID),
		Folders: []agent.Folder{
			jobcontainer.TMPDIR(m.Storage),
			{Path: helperHome, Mode: 0o700, Owned: true},
		},
	}
	request, err := jobcontainer.RequestWord(agent.InitRequest{Setup: s.setup})
	if err != nil {
		return s, err
	}
	name := m.Identity.Name() + "-helper"
	files, err := b.writeSettings(m.Identity, name, main.storage, jobcontainer.CertainLimits(m.Resources))
	if err != nil {
		return s, err
	}
	c := m.container(name, m.Runtime, job.RoleHelper, img, append(jobcontainer.WithStorage(m.Environment, main.storage), "HOME="+helperHome), files)
	spec.RunAgent(&c, request, "/")
	c.Hostname, c.Resources = m.Hostname, spec.Resources(m.Resources)
	c.Rights, err = spec.ServiceRights(m.Hardening)
	s.asked = c
	return s, err
}

// examineHelper inspects the helper container, and refuses one without a shell or git.
func (b *Backend) examineHelper(ctx context.Context, m *made, s started) (agent.InspectResponse, error) {
	e := jobcontainer.Examination{Container: "the helper's container", Image: m.Helper.Image.Reference, Log: b.Log}
	request := agent.InspectRequest{Setup: s.setup, Init: true, Mounts: wantedMounts(s.asked)}
	r, err := b.Inside(s.id, s.agent(), e.Container).Inspect(ctx, request, m.InspectTimeout)
	if err := e.Check(r, err); err != nil {
		return r, err
	}
	switch {
	case r.Shell == "":
		return r, fmt.Errorf("image %s has no shell; name another as helper.image", e.Image)
	case m.Helper.NeedsGit && !r.Git:
		return r, fmt.Errorf("image %s has no git; name another as helper.image", e.Image)
	}
	return r, nil
}
