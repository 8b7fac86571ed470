package executor

import (
	"context"
	"errors"
	"fmt"
	"path"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/sysbox"
)

// toolsFolder is where, below what the containers see of the job's folder, the
// tool is.
const toolsFolder = "bin"

// toolsPath is the folder of the tool as the containers see it.
func toolsPath(p plan) string {
	if p.Helper.Tool == "" {
		return ""
	}
	return path.Join(agent.Dir, toolsFolder)
}

func helperName(i Identity) string { return i.Name() + "-helper" }

// helperHome is the home folder in the helper container, whose image does not
// know the job's user.
const helperHome = "/home/job"

// startHelper makes the job's helper container where it needs one, and returns
// what run has to know of it, nil without one. Its scripts run as the user
// that the job's run as: whatever one writes, the other may change, and git
// takes the repository for the user's own.
func (x *Executor) startHelper(ctx context.Context, j *journal.Journal, p plan, found agent.Report) (*job.Environment, error) {
	why := p.Helper.Why(found)
	if why == "" {
		if p.Helper.NeedsTool && p.Helper.Tool == "" {
			x.Log.Warnf("No static %s program was found on this machine: caches and artifacts need one in the job's image. (Name one as helper.runner_binary in the executor's configuration, or set helper.mode to \"container\".)", p.Helper.ToolName)
		}
		return nil, nil
	}
	x.Log.Infof("Git, cache and artifacts are done in a helper container, image %s: %s.", p.Helper.Image.Reference, why)
	img, letGo, err := x.pulled().Get(ctx, p.Helper.Image)
	if err != nil && p.Helper.Optional && ctx.Err() == nil && !engine.IsUnreachable(err) {
		x.Log.Warnf("The job goes on without a helper container, for its image cannot be had: %v. What needs git will fail: install git in the job's image, or name an image with git as helper.image in the executor's configuration.", err)
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer letGo() // by then its container has it
	setup := agent.Setup{
		User: fmt.Sprintf("%d:%d", found.UID, found.GID),
		Folders: []agent.Folder{
			tmpdir(p),
			{Path: helperHome, Mode: 0o700, Owned: true},
		},
	}
	order, err := orderWord(agent.InitOrder{Setup: setup})
	if err != nil {
		return nil, err
	}
	rights, err := spec.ServiceRights(p.Hardening)
	if err != nil {
		return nil, err
	}
	// It is no build of the job's: what the job's container turned out to be is not for it.
	settings, err := x.writeSettings(p.Identity, helperName(p.Identity), p.Storage, certainLimits(p.Resources))
	if err != nil {
		return nil, err
	}
	c := engine.Container{
		Name: helperName(p.Identity), Image: img.ID, Runtime: p.Runtime, Hostname: p.Hostname,
		User: "0:0", WorkingDir: "/",
		Entrypoint: agent.Command("init"),
		Cmd:        []string{order},
		Env:        sysbox.Unset(append(withStorage(p.Environment, p.Storage), "HOME="+helperHome), img.Env),
		Labels:     labels(p, job.RoleHelper),
		Mounts:     append(x.sharedMounts(p), settings...),
		Network:    p.Identity.Name(),
		Names:      spec.Names(p.Network),
		Resources:  spec.Resources(p.Resources),
		Rights:     rights,
		LogOptions: p.logOptions,
	}
	id, err := x.createContainer(ctx, j, c)
	if err != nil {
		return nil, x.Engine.ExplainRuntime(ctx, p.Runtime, err)
	}
	if err := x.Engine.StartContainer(ctx, id); err != nil {
		return nil, x.Engine.ExplainRuntime(ctx, p.Runtime, err)
	}
	r, err := x.inside(id, "the helper's container").Inspect(ctx, agent.InspectOrder{Setup: setup, Init: true, Mounts: wantedMounts(c)}, p.InspectTimeout)
	switch {
	case err != nil:
		return nil, err
	case r.Error != "":
		return nil, errors.New(r.Error)
	case r.Shell == "":
		return nil, fmt.Errorf("image %s has no shell; name another as helper.image", p.Helper.Image.Reference)
	case p.Helper.NeedsGit && !r.Git:
		return nil, fmt.Errorf("image %s has no git; name another as helper.image", p.Helper.Image.Reference)
	}
	if err := x.tellMounts("the helper's container", r.MountFaults); err != nil {
		return nil, err
	}
	return &job.Environment{
		Container: id, Shell: r.Shell, ANSIQuoting: r.ANSIQuoting, User: setup.User,
		WorkingDir: "/", Init: true, Enforced: p.Storage.Enforced(), TMPDIR: p.Storage.TMPDIR, Tools: toolsPath(p),
		Limits: x.limitsOf(ctx, id, p),
	}, nil
}
