package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// Prepare makes the job's environment. When it fails, or is killed, Cleanup
// removes whatever there is by then. Another attempt may follow at once.
func (x *Executor) Prepare(ctx context.Context, asked job.Plan) (err error) {
	p := plan{Plan: asked}
	var j *journal.Journal
	err = x.fresh(ctx, p.Identity, func() (err error) { // an earlier attempt's remains go
		if j, err = x.journal(p.Identity); err != nil {
			return err
		}
		return j.Begin(p.Identity, owner.Current(), x.Engine.Host(), journal.Resource{Kind: journal.Folder, Name: x.folder(p.Identity), Answered: true})
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Cleanup then need not wait for what is known to have been refused.
			_ = j.Flush() // the error at hand says more
		}
	}()
	info, err := x.Engine.Info(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(keepDataRoot(p, info.RootDir), checkIPv6(p, info)); err != nil {
		return err
	}
	p.logOptions = spec.LogOptions(p.Container, info.LogDriver)
	// Before the pulls: what they take of the disk is not known beforehand.
	room, err := x.admit(ctx, p, info)
	if err != nil {
		return err
	}
	defer x.sweep(ctx)()
	pulling, stopPulls := context.WithCancelCause(ctx)
	defer stopPulls(nil)
	defer x.room().Watch(ctx, room.engineFolder, stopPulls)()
	images, letGo, err := x.pulled().All(pulling, p.Images())
	if err != nil {
		return err
	}
	defer letGo() // by then containers have them
	if _, err := orderWord(initOrder(p, images[0], nil)); err != nil {
		return err // before there is much to remove
	}
	if err := room.again(ctx); err != nil {
		return err
	}
	if err := x.makeFolder(p); err != nil {
		return err
	}
	v, err := x.makeVolume(ctx, p, room, j)
	if err != nil {
		return err
	}
	defer v.Release() // by then it is the containers that hold it
	if err := x.createNetwork(ctx, j, jobNetwork(p)); err != nil {
		return err
	}
	taken, release, err := x.takeFolders(ctx, p.Identity, p.Folders, j)
	if err != nil {
		return err
	}
	defer release()
	p.volumes = taken
	shared, unhold := x.takeImages(ctx, p)
	defer unhold()
	// As far as it can be told yet as whom the job's tools will run: systemd reads its
	// configuration when it boots.
	p.images, p.Storage.ImageStore = shared, shared.StoreOf(p.Storage.Driver, firstOf(p.User, images[0].User))
	x.shareCertificates(&p, images[1:])
	if err := x.makeShared(ctx, p, j); err != nil {
		return err
	}
	services, err := x.startServices(ctx, p, j, images[1:])
	if err != nil {
		return err
	}
	if p.ServiceLogs {
		defer x.showLogs(ctx, p.Identity, runningServices(services))()
	}
	settings, err := x.writeSettings(p.Identity, p.Identity.Name(), p.Storage, certainLimits(p.Resources))
	if err != nil {
		return err
	}
	c, setup, err := x.container(p, images[0], settings)
	if err != nil {
		return err
	}
	id, err := x.createContainer(ctx, j, c)
	if err != nil {
		return x.Engine.ExplainRuntime(ctx, p.Runtime, err)
	}
	if err := x.fitSubIDs(ctx, id); err != nil {
		return err
	}
	if systemdRuns(c) { // our own first process makes the folder itself
		if err := x.makeFolders(ctx, id, p, c, setup.User); err != nil {
			return err
		}
	}
	if err := x.Engine.StartContainer(ctx, id); err != nil {
		return x.Engine.ExplainRuntime(ctx, p.Runtime, explainSystemd(p.Image.Reference, c, err))
	}
	if err := x.awaitServices(ctx, id, p, runningServices(services)); err != nil {
		return err
	}
	r, err := x.inspect(ctx, id, p, c, setup)
	if err != nil {
		return err
	}
	if err := x.inspectServices(ctx, p, services); err != nil {
		return err
	}
	settled := x.settled(p, r)
	p.images.Report(x.Log, settled, r.UID)
	if err := x.noteVolume(p, settled.Driver, r); err != nil {
		return err
	}
	f := job.Environment{
		Container: id, Image: p.Image.Reference, Shell: r.Shell, ANSIQuoting: r.ANSIQuoting, User: setup.User,
		WorkingDir: c.WorkingDir, Init: !systemdRuns(c), NoFile: softNoFile(p), Enforced: settled.Enforced(), TMPDIR: settled.TMPDIR,
		Watch: x.watch(p), Limits: x.limitsOf(ctx, id, p), Builds: p.volumes.keptBuilds, Tools: toolsPath(p), EngineFolder: room.engineFolder,
		Services: runningServices(services),
	}
	if f.Helper, err = x.startHelper(ctx, j, p, r); err != nil {
		return fault.Systemf("the helper container: %w", err) // the image is the administrator's
	}
	return j.SetFacts(f)
}

// intent is a resource as the journal has it before it is asked for.
func intent(kind journal.Kind, name string) journal.Resource {
	return journal.Resource{Kind: kind, Name: name}
}

// answered notes that the engine has answered, unless it may still be at it.
func answered(j *journal.Journal, kind journal.Kind, name string, err error) {
	if !engine.IsUnreachable(err) {
		j.Answered(kind, name)
	}
}

// createVolume makes a volume that is in the journal before it is asked for.
func (x *Executor) createVolume(ctx context.Context, j *journal.Journal, name string, options, labels map[string]string) error {
	if err := j.Intend(intent(journal.Volume, name)); err != nil {
		return err
	}
	err := x.Engine.CreateVolume(ctx, name, options, x.mark(labels))
	answered(j, journal.Volume, name, err)
	return err
}

// createNetwork makes a network in the same way.
func (x *Executor) createNetwork(ctx context.Context, j *journal.Journal, n engine.Network) error {
	if err := j.Intend(intent(journal.Network, n.Name)); err != nil {
		return err
	}
	n.Labels = x.mark(n.Labels)
	err := x.Engine.CreateNetwork(ctx, n)
	answered(j, journal.Network, n.Name, err)
	return err
}

// createContainer makes a container in the same way.
func (x *Executor) createContainer(ctx context.Context, j *journal.Journal, c engine.Container) (id string, err error) {
	if err := j.Intend(intent(journal.Container, c.Name)); err != nil {
		return "", err
	}
	c.Labels = x.mark(c.Labels)
	// A cleanup may remove the job's own volumes before the engine, slow with the
	// container, looks for them: it makes them anew then.
	for _, r := range j.Resources() {
		for n, m := range c.Mounts {
			if r.Kind == journal.Volume && m.Kind == engine.Volume && m.Source == r.Name {
				c.Mounts[n].Labels = c.Labels
			}
		}
	}
	c.Labels = job.ContainerLabels(c.Labels)
	id, err = x.Engine.CreateContainer(ctx, c)
	if answered(j, journal.Container, c.Name, err); err != nil {
		return "", err
	}
	// Before it is started: an engine that dies in the middle of that forgets it.
	return id, j.Made(journal.Container, c.Name, id)
}

// initOrder is what the first process of the job's container is to do, which has
// these mounts.
func initOrder(p plan, img engine.Image, mounts []engine.Mount) agent.InitOrder {
	setup := agent.Setup{
		User: firstOf(p.User, img.User),
		Folders: []agent.Folder{
			{Path: storage.RootlessStores, Mode: 0o1777},
			{Path: p.Folders.Builds, Mode: 0o777, Owned: true},
			{Path: p.Folders.Cache, Mode: 0o777, Owned: true},
			tmpdir(p), // it may be in one of these
		},
	}
	if p.volumes.cacheMounts != "" {
		setup.CacheMounts = &agent.CacheMounts{Folder: storage.CacheMounts, TMPDIR: p.Storage.TMPDIR}
	}
	return agent.InitOrder{
		Setup: setup, Entrypoint: entrypoint(p.Entrypoint, img.Entrypoint), WorkingDir: img.WorkingDir,
		Binds: engineFolders(p, mounts),
	}
}

// tmpdir is the job's TMPDIR as the agent is to make it. Root makes it where the
// administrator chose its place, and on the storage volume, where no link of the
// job's can be on the way to it.
func tmpdir(p plan) agent.Folder {
	dir := p.Storage.TMPDIR
	return agent.Folder{Path: dir, Mode: 0o1777, ByUser: p.Storage.JobsTMPDIR && !strings.HasPrefix(dir, storage.Mountpoint+"/")}
}

// orderWord is o as the agent's argument. One that Linux passes on to no process
// is the job's fault: its entrypoint and its TMPDIR are what can be long in it.
func orderWord(o agent.InitOrder) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // it would make six characters of some
	if err := e.Encode(o); err != nil {
		return "", err
	}
	word := strings.TrimSuffix(text.String(), "\n")
	if len(word) > agent.LongestWord {
		return "", fault.Jobf("the image's entrypoint or the TMPDIR is too long: as JSON, with what else the container's first process is told, it has %d bytes of at most %d; put a long entrypoint into a file in the image", len(word), agent.LongestWord)
	}
	return word, nil
}

// container is the job's, with the mounts of its settings.
func (x *Executor) container(p plan, img engine.Image, settings []engine.Mount) (engine.Container, agent.Setup, error) {
	mounts := append(x.sharedMounts(p), settings...)
	o := initOrder(p, img, mounts)
	setup := o.Setup
	order, err := orderWord(o)
	if err != nil {
		return engine.Container{}, setup, err
	}
	rights, err := spec.JobRights(p.Hardening, p.Container)
	if err != nil {
		return engine.Container{}, setup, err
	}
	name := p.Identity.Name()
	c := engine.Container{
		Name: name, Image: img.ID, Platform: p.Image.Platform, Runtime: p.Runtime, Hostname: p.Hostname,
		User:       "0:0",
		WorkingDir: firstOf(img.WorkingDir, "/"),
		Entrypoint: agent.Command("init"),
		Cmd:        []string{order},
		Env:        sysbox.Unset(withToolDefaults(withStorage(p.Environment, p.Storage), setup.User), img.Env),
		Labels:     labels(p, job.RoleBuild),
		Mounts:     mounts,
		Tmpfs:      spec.Tmpfs(p.Container.Tmpfs),
		Network:    name, Aliases: []string{service.JobName},
		Names:      spec.Names(p.Network),
		Resources:  spec.Resources(p.Resources),
		Rights:     rights,
		LogOptions: p.logOptions,
		StopSignal: "SIGTERM", // our own first process's, whatever the image's wants
	}
	return c, setup, x.arrangeSystemd(p, firstProcess{Systemd: p.Systemd, Entrypoint: p.Entrypoint}, img, &c)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// entrypoint is the job's, where it has one, else the image's.
func entrypoint(job, img []string) []string {
	if len(job) == 0 { // GitLab's Docker executor takes an empty list for none, too
		job = img
	}
	if len(job) == 1 && job[0] == "" {
		return nil
	}
	return job
}

// inspect looks at the started container from inside and refuses it in one line
// when a job cannot run in it.
func (x *Executor) inspect(ctx context.Context, id string, p plan, c engine.Container, setup agent.Setup) (agent.Report, error) {
	order := agent.InspectOrder{
		Setup: setup, Init: true, EntrypointTimeout: p.EntrypointTimeout, Mounts: wantedMounts(c),
		Timeout: p.InspectTimeout * 3 / 4, // the rest is for telling that it was too short
		Volume:  storage.Mountpoint, ProbeOverlay: p.Volume.Overlay,
		Tools: &agent.Tools{Settings: p.Storage, Stores: p.images.Stores()},
	}
	if p.Folders.Temp != "" {
		order.ClearIn, order.Clear = p.Folders.Builds, strings.TrimPrefix(p.Folders.Temp, p.Folders.Builds+"/")
	}
	if systemdRuns(c) {
		order.Init, order.SystemdTimeout = false, p.SystemdTimeout
	}
	r, err := x.inside(id, jobContainer).Inspect(ctx, order, p.InspectTimeout)
	switch {
	case err != nil:
		return r, fmt.Errorf("looking at the job's container: %w", err)
	case r.Error != "" && r.JobFault:
		return r, fault.Jobf("image %s: %s", p.Image.Reference, r.Error)
	case r.Error != "":
		return r, fmt.Errorf("looking at the job's container: %s", r.Error)
	case r.Shell == "":
		return r, fault.Jobf("image %s has no shell: a job's script needs bash or sh in it", p.Image.Reference)
	}
	x.tellEntrypoint(ctx, id, p, r)
	x.tellSystemd("", p.SystemdTimeout, r.Systemd)
	x.tellVersions(ctx, p, r)
	return r, x.tellMounts("the job's container", r.MountFaults)
}

// tellEntrypoint shows what the image's entrypoint wrote, and says when it did
// not do what a job needs of it.
func (x *Executor) tellEntrypoint(ctx context.Context, id string, p plan, r agent.Report) {
	if r.Entrypoint == agent.EntrypointNone {
		return
	}
	if text, err := x.Engine.Logs(ctx, id, 100); err == nil {
		for line := range strings.Lines(text) {
			x.Log.Info(strings.TrimRight(line, "\r\n"))
		}
	}
	switch {
	case r.EntrypointFault != "":
		x.Log.Warnf("The image's entrypoint could not be started: %s; the job goes on without it. (image: entrypoint: [\"\"] leaves it out.)", fault.Brief(r.EntrypointFault))
	case r.Entrypoint == agent.EntrypointExited:
		x.Log.Warnf("The image's entrypoint ended with exit code %d without running the command behind it; the job goes on without it. (image: entrypoint: [\"\"] leaves it out.)", r.EntrypointCode)
	case r.Entrypoint == agent.EntrypointIgnores:
		x.Log.Warnf("The image's entrypoint has not run the command behind it within %s; the job goes on beside it. (image: entrypoint: [\"\"] leaves it out.)", p.EntrypointTimeout)
	}
}
