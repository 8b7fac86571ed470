package docker

import (
	"context"
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

// startHelper starts the helper container if the job needs one, and returns what the run
// stage has to know of it, or nil.
func (b *Backend) startHelper(ctx context.Context, m *made, main started, found agent.InspectResponse) (*job.Environment, error) {
	why := m.Helper.Why(found)
	if why == "" {
		if m.Helper.NeedsTool && m.Helper.Tool == "" {
			b.Log.Warnf("No static %s program was found on this machine: caches and artifacts need one in the job's image. (Name one as helper.runner_binary in the executor's configuration, or set helper.mode to \"container\".)", m.Helper.ToolName)
		}
		return nil, nil
	}
	defer observe.Begin(ctx, observe.Helper)()
	jobcontainer.ReportHelper(b.Log, m.Helper, why)
	img, release, err := b.Pulled.Get(ctx, m.Helper.Image)
	if err != nil && m.Helper.Optional && ctx.Err() == nil && !engine.IsUnreachable(err) {
		jobcontainer.ReportNoHelper(b.Log, err)
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
	s.setup = jobcontainer.HelperSetup(m.Plan, found)
	request, err := jobcontainer.RequestWord(agent.InitRequest{Setup: s.setup})
	if err != nil {
		return s, err
	}
	name := m.Identity.Name() + "-helper"
	files, err := b.writeSettings(m.Identity, name, main.storage, jobcontainer.CertainLimits(m.Resources))
	if err != nil {
		return s, err
	}
	c := m.container(name, m.Runtime, job.RoleHelper, img, append(jobcontainer.WithStorage(m.Environment, main.storage), "HOME="+jobcontainer.HelperHome), files)
	spec.RunAgent(&c, request, "/")
	c.Hostname, c.Resources = m.Hostname, spec.Resources(m.Resources)
	c.Rights, err = spec.ServiceRights(m.Hardening)
	s.asked = c
	return s, err
}

// examineHelper inspects the helper container, and refuses one without a shell or git.
func (b *Backend) examineHelper(ctx context.Context, m *made, s started) (agent.InspectResponse, error) {
	request := agent.InspectRequest{Setup: s.setup, Init: true, Mounts: wantedMounts(s.asked)}
	r, err := b.Inside(s.id, s.agent(), jobcontainer.HelperName).Inspect(ctx, request, m.InspectTimeout)
	return r, jobcontainer.CheckHelper(b.Log, m.Helper, r, err)
}
