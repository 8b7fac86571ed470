package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/imageconfig"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// Prepare makes the pod of a job, and returns what later stages need. The pod is in the journal before it is requested.
// After an error the caller removes what was made.
func (b *Backend) Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (none job.Environment, err error) {
	if err := refuse(p); err != nil {
		return none, err
	}
	if err := b.Dir.MakeJob(p.Identity.Name()); err != nil {
		return none, fmt.Errorf("the job's folder: %w", err)
	}
	k, err := b.learn(ctx, p)
	if err != nil {
		return none, err
	}
	made, err := b.create(ctx, p, k, j)
	if err != nil {
		return none, err
	}
	defer b.renew(ctx, made.Name, renewEvery)()
	running, err := b.await(ctx, p, made)
	if err != nil {
		return none, err
	}
	return b.settle(ctx, p, k, running)
}

// create makes the pod with its secrets and hands it to the scheduler. The pod comes first, held back by a gate, so that
// it owns the secrets from their first moment.
func (b *Backend) create(ctx context.Context, p job.Plan, k known, j *journal.Journal) (*corev1.Pod, error) {
	defer observe.Begin(ctx, observe.Resources)()
	wanted, err := b.pod(p, k)
	if err != nil {
		return nil, err
	}
	for _, s := range b.environments(p, wanted) { // before there is something to remove
		if err := checkSize(s); err != nil {
			return nil, err
		}
	}
	if err := j.Intend(journal.Resource{Kind: journal.Pod, Name: wanted.Name}); err != nil {
		return nil, err
	}
	made, err := b.API.CreatePod(ctx, wanted)
	if !errdefs.IsUnavailable(err) {
		j.Answered(journal.Pod, wanted.Name)
	}
	if err != nil {
		return nil, b.explain(err)
	}
	if err := j.Made(journal.Pod, made.Name, string(made.UID)); err != nil {
		return nil, err
	}
	secrets := b.environments(p, made)
	registry, err := b.registry(p, k.logins, made)
	if err != nil {
		return nil, err
	}
	if registry != nil {
		secrets = append(secrets, registry)
	}
	if err := b.API.CreateLease(ctx, b.lease(p.Identity, made)); err != nil {
		return nil, b.explain(err)
	}
	for _, s := range secrets {
		if err := b.API.CreateSecret(ctx, s); err != nil {
			return nil, b.explain(err)
		}
	}
	if err := b.API.OpenGates(ctx, made.Name); err != nil {
		return nil, b.explain(err)
	}
	return made, nil
}

// settle inspects the job container and returns what later stages need.
func (b *Backend) settle(ctx context.Context, p job.Plan, k known, running *corev1.Pod) (none job.Environment, err error) {
	id := address(running.Name, jobContainer)
	beside, err := services(p, k)
	if err != nil {
		return none, err
	}
	if p.ServiceLogs {
		defer b.serviceLog(p.Identity).Follow(ctx, beside)()
	}
	if err := b.awaitServices(ctx, p, beside, id); err != nil {
		return none, err
	}
	found, err := b.inspect(ctx, p, running)
	if err == nil {
		err = b.examineServices(ctx, p, running)
	}
	if err != nil {
		return none, err
	}
	settled := jobcontainer.Settled(p, found, storage.Stores{}, b.Log)
	if err := b.noteVolume(p, settled.Driver, found); err != nil {
		return none, err
	}
	e := job.Environment{
		Container: id, Image: p.Image.Reference, Shell: found.Shell, ANSIQuoting: found.ANSIQuoting,
		User: cmp.Or(p.User, found.Image.User), WorkingDir: found.Image.WorkingDir, Init: !systemdRuns(containerOf(running, jobContainer)),
		Enforced: jobcontainer.Set(p, settled), TMPDIR: settled.TMPDIR,
		Watch:  agent.Watch{Volume: storage.Mountpoint, TMPDIR: settled.TMPDIR, Hard: hard(p.Volume.Backend)},
		Limits: job.Limits{Memory: int64(p.Resources.Memory), Volume: p.Volume.Size}, Services: beside,
	}
	if p.User == "" && found.UID != 0 {
		// The container was made before its user was known, with root's defaults.
		maps.Copy(e.Enforced, jobcontainer.RootlessDefaults(p.Environment))
	}
	if e.Helper, err = b.startHelper(ctx, p, running, found, e); err != nil {
		return none, fault.Systemf("the helper container: %w", err) // the administrator chose the image
	}
	return e, nil
}

// inspect inspects the job container from inside.
func (b *Backend) inspect(ctx context.Context, p job.Plan, pod *corev1.Pod) (agent.InspectResponse, error) {
	defer observe.Begin(ctx, observe.Inspect)()
	id, c := address(pod.Name, jobContainer), containerOf(pod, jobContainer)
	request := jobcontainer.InspectRequest(p, firstProcess(p, imageconfig.Config{}, c.VolumeMounts).Setup, agent.Tools{Settings: p.Storage}, wantedMounts(c))
	request.Facts = factsFile
	if p.Helper.NeedsTool {
		request.Program = p.Helper.ToolName
	}
	if systemdRuns(c) {
		request.Init, request.SystemdTimeout, request.IDs = false, p.SystemdTimeout, sysbox.NamespaceSize
	}
	r, err := b.inside(id).Inspect(ctx, request, p.InspectTimeout)
	if err == nil && r.Error == "" {
		if err := jobcontainer.CheckShell(p, r); err != nil {
			return r, err
		}
		jobcontainer.ReportEntrypoint(b.Log, p.EntrypointTimeout, r, func() (string, error) { return b.Tail(ctx, id, 100) })
	}
	e := jobcontainer.Examination{Container: jobcontainer.Name, Image: p.Image.Reference, Systemd: p.SystemdTimeout, Log: b.Log}
	return r, e.Check(r, err)
}

// noteVolume records what the inspection found about the storage volume, and logs its properties in one line.
func (b *Backend) noteVolume(p job.Plan, driver string, r agent.InspectResponse) error {
	s := storage.State{Claim: storage.Claim{Limit: p.Volume.Size, Used: r.VolumeUsed}, Backend: p.Volume.Backend, Driver: driver, Hard: hard(p.Volume.Backend)}
	if !s.Hard {
		s.Used = 0 // that of the node's whole disk
	}
	s.Base, s.Peak = s.Used, s.Used
	limit := format.Bytes(p.Volume.Size)
	if !s.Hard {
		limit += ", enforced by eviction"
	}
	b.Log.Infof("Storage volume: %s, %s.", s.Backend, limit)
	return s.Write(b.Dir.Job(p.Identity.Name()))
}

// errLate means that a pod's containers do not run in time.
var errLate = errors.New("the pod does not run in time")

// startTime bounds the wait for the pod.
func (b *Backend) startTime() time.Duration { return time.Duration(b.Config.StartTimeout) }
