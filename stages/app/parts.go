package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/docker"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/pulled"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/room"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/sharedfill"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/visit"
)

// Jobs are the parts of the program that are about jobs, on every backend.
type Jobs struct {
	Executor *executor.Executor
	Overview *overview.Reader
	Accounts *accounting.Book
	Door     visit.Door
}

// Parts are the parts of the program that commands use, connected to one Docker Engine.
type Parts struct {
	Jobs
	Images *sharedfill.Filler
	Engine *engine.Engine

	kept   *kept.Store
	pulled *pulled.Store
}

// RemoveUnused removes what outlives jobs and no job uses, however recently one did: images that jobs
// pulled, shared images, and volumes with builds and caches. In a dry run it only returns what it would
// remove.
func (p *Parts) RemoveUnused(ctx context.Context, dryRun bool) ([]removal.Collected, error) {
	const reason = "no job uses it"
	o := removal.Options{DryRun: dryRun}
	all, err := p.Images.Shared.RemoveAll(ctx, o)
	if err != nil {
		return all, err
	}
	images, err := p.pulled.Unused(ctx, o, reason)
	if err != nil {
		return all, err
	}
	volumes, err := p.kept.Unused(ctx, o, reason)
	if err != nil {
		return all, err
	}
	for _, remove := range append(images, volumes...) {
		c, _ := remove(ctx)
		all = append(all, c)
	}
	return all, ctx.Err()
}

// errNoEngine is the error of commands that need a Docker Engine.
var errNoEngine = errors.New("this command is about a Docker Engine, and the configuration has backend = \"kubernetes\": docs/kubernetes.md says what takes its place")

// With connects to the engine and calls do. It fails if the configuration names another backend.
func (a *App) With(do func(*Parts) error) error {
	if a.Config.Backend != config.BackendDocker {
		return errNoEngine
	}
	where := a.Config.Engine
	e, err := engine.New(where.Host, time.Duration(where.Timeout), engine.TLS{CA: where.TLSCA, Cert: where.TLSCert, Key: where.TLSKey})
	if err != nil {
		return err
	}
	defer e.Close()
	return do(a.parts(e))
}

// WithImages is With for commands that need only the shared images.
func (a *App) WithImages(do func(*sharedfill.Filler) error) error {
	return a.With(func(p *Parts) error { return do(p.Images) })
}

// WithJobs is With for commands that need only the jobs. It works with every backend.
func (a *App) WithJobs(do func(*Jobs) error) error {
	if a.Config.Backend == config.BackendKubernetes {
		return a.withPods(do)
	}
	return a.With(func(p *Parts) error { return do(&p.Jobs) })
}

// WithExecutor is WithJobs for commands that need only the executor.
func (a *App) WithExecutor(do func(*executor.Executor) error) error {
	return a.WithJobs(func(j *Jobs) error { return do(j.Executor) })
}

func (a *App) parts(e *engine.Engine) *Parts {
	c, dir := a.Config, statedir.Dir(a.Config.StateDir)
	local := strings.HasPrefix(e.Host(), "unix://")
	k := &kept.Store{State: dir, Engine: e, Local: local, Disks: kept.Disks{State: dir, Folder: c.VolumeFolder()}, Limits: limits(c), Log: a.Log}
	images := &pulled.Store{State: dir, Engine: e, Keep: time.Duration(c.GC.KeepImages), Meter: a.meter, Log: a.Log}
	s := &shared.Store{State: dir, Engine: e, Host: e.Host(), Kept: k, Log: a.Log}
	r := &room.Keeper{State: dir, Engine: e, Local: local, Pulled: images, Kept: k, MinFree: int64(c.Storage.MinFree), Log: a.Log}
	backend := &docker.Backend{Engine: e, Dir: dir, Kept: k, Pulled: images, Shared: s, Room: r, ServiceGrace: time.Duration(c.Services.StopGrace), Log: a.Log}
	x := a.executor(dir, backend)
	x.Kept, x.Room = k, r
	x.Collects = []executor.Collect{k.Collect, k.CollectCacheMounts, s.Collect, images.Collect, r.Collect}
	x.DropImages = s.DropOld
	r.GC = x.GC // if disk space is low, the collector removes whatever no job needs
	return &Parts{
		Engine: e, Jobs: a.jobs(x, k),
		kept:   k,
		pulled: images,
		Images: &sharedfill.Filler{
			Shared: s, Engine: e, Inside: backend.Inside, KillGrace: x.KillGrace, CleanupTimeout: x.CleanupTimeout, Log: a.Log,
		},
	}
}

// executor returns the executor for a backend, without what outlives jobs.
func (a *App) executor(dir statedir.Dir, backend executor.Backend) *executor.Executor {
	c := a.Config
	return &executor.Executor{
		Backend: backend, Dir: dir,
		KillGrace:      time.Duration(c.Run.KillGrace),
		Reconnect:      time.Duration(c.Run.Reconnect),
		CleanupTimeout: time.Duration(c.Cleanup.Timeout),
		GCInterval:     time.Duration(c.GC.Interval),
		Accounts:       &accounting.Book{Dir: dir, Ended: a.jobEnded, Log: a.Log},
		Log:            a.Log,
	}
}

// jobs returns the parts around an executor. The store is nil if the backend keeps no volumes.
func (a *App) jobs(x *executor.Executor, k *kept.Store) Jobs {
	return Jobs{
		Executor: x, Accounts: x.Accounts,
		Overview: &overview.Reader{Dir: x.Dir, Removal: x.Removal(), Kept: k, Log: a.Log},
		Door:     visit.Door{Dir: x.Dir, Inside: x.Backend.Inside},
	}
}

// limits returns the limits of resources that outlive jobs.
func limits(c *config.Config) kept.Limits {
	return kept.Limits{
		Keep: time.Duration(c.GC.KeepVolumes), Total: c.GC.MostVolumes, Each: c.GC.VolumeSize, CacheMounts: cacheMounts(c),
	}
}

// cacheMounts returns how many bytes of cache mounts each project keeps; 0 for no limit.
func cacheMounts(c *config.Config) int64 {
	if !c.KeepCacheMounts() {
		return 0 // those kept earlier are removed by age
	}
	return int64(c.Storage.CacheMountsSize)
}
