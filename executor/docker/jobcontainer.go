package docker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
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
	files, err := b.writeSettings(m.Identity, name, settings, certainLimits(m.Resources))
	if err != nil {
		return s, err
	}
	env := withToolDefaults(withStorage(m.Environment, settings), user)
	if m.disk != nil {
		env = withDefaults(env, layers)
	}
	c := m.container(name, m.Runtime, job.RoleBuild, img, env, files)
	o := initRequest(m.Plan, img, c.Mounts, m.taken.CacheMounts != "")
	request, err := requestWord(o)
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
	err = b.arrangeSystemd(m.Plan, firstProcess{Systemd: m.Systemd, Entrypoint: m.Entrypoint}, img, &c)
	return started{asked: c, setup: o.Setup, storage: settings}, err
}

// initRequest is the request to the agent that is PID 1 of the job container. The container
// has these mounts.
func initRequest(p job.Plan, img engine.Image, mounts []engine.Mount, cacheMounts bool) agent.InitRequest {
	setup := agent.Setup{
		User: cmp.Or(p.User, img.User),
		Folders: []agent.Folder{
			{Path: storage.RootlessStores, Mode: 0o1777},
			{Path: p.Folders.Builds, Mode: 0o777, Owned: true},
			{Path: p.Folders.Cache, Mode: 0o777, Owned: true},
			tmpdir(p.Storage), // it may be below one of the others
		},
	}
	if cacheMounts {
		setup.CacheMounts = &agent.CacheMounts{Folder: storage.CacheMounts, TMPDIR: p.Storage.TMPDIR}
	}
	return agent.InitRequest{
		Setup: setup, Entrypoint: entrypoint(p.Entrypoint, img.Entrypoint), WorkingDir: img.WorkingDir,
		Binds: engineFolders(p, mounts), IDs: sysbox.NamespaceSize,
	}
}

// entrypoint is the job's entrypoint, or else the image's.
func entrypoint(job, img []string) []string {
	if len(job) == 0 { // GitLab's Docker executor also treats an empty list as none
		job = img
	}
	if len(job) == 1 && job[0] == "" {
		return nil
	}
	return job
}

// requestWord encodes o as an argument of the agent. Linux limits the length of an
// argument. If it is too long, the job is at fault: only its entrypoint and its TMPDIR
// can be long.
func requestWord(o agent.InitRequest) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // escaping turns one character into six
	if err := e.Encode(o); err != nil {
		return "", err
	}
	word := strings.TrimSuffix(text.String(), "\n")
	if len(word) > agent.LongestWord {
		return "", fault.Jobf("the image's entrypoint or the TMPDIR is too long: as JSON, with the other settings of the container's first process, they have %d bytes, and %d are allowed; put a long entrypoint into a file in the image", len(word), agent.LongestWord)
	}
	return word, nil
}
