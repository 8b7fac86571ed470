package stages

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/storage"
)

// plan turns what the Runner says and what the administrator configured into a
// job's environment. Its errors are the job's fault.
func plan(c *Call, cfg *config.Config, log logrus.FieldLogger) (executor.Plan, error) {
	id, err := c.Identity()
	if err != nil {
		return executor.Plan{}, err
	}
	job := c.Job
	if job == nil {
		job = &Job{Image: Image{Name: c.Variables["CI_JOB_IMAGE"]}}
	}
	settings, err := storageSettings(c, cfg, log)
	if err != nil {
		return executor.Plan{}, err
	}
	p := executor.Plan{
		Identity:          id,
		Runtime:           cfg.Runtime,
		Hostname:          hostname(c, id),
		Entrypoint:        job.Image.Entrypoint,
		Resources:         cfg.Resources,
		Storage:           settings,
		Folders:           folders(c, cfg, id, log),
		EntrypointTimeout: time.Duration(cfg.Job.EntrypointTimeout),
		SystemdTimeout:    time.Duration(cfg.Job.SystemdTimeout),
		ServiceTimeout:    time.Duration(cfg.Services.WaitTimeout),
	}
	images := imageRules{c, cfg}
	if p.Image, err = images.forJob(job.Image); err != nil {
		return executor.Plan{}, err
	}
	if p.User, err = images.jobUser(job.Image); err != nil {
		return executor.Plan{}, err
	}
	if p.Helper, err = helper(c, cfg); err != nil {
		return executor.Plan{}, err
	}
	if p.Systemd, err = systemd(c); err != nil {
		return executor.Plan{}, err
	}
	p.Environment = environment(c, cfg, p.Folders.Project, nil)
	for _, s := range job.Services {
		svc, err := servicePlan(c, cfg, p, s)
		if err != nil {
			return executor.Plan{}, err
		}
		p.Services = append(p.Services, svc)
	}
	return p, nil
}

func servicePlan(c *Call, cfg *config.Config, p executor.Plan, s Image) (executor.Service, error) {
	images := imageRules{c, cfg}
	r, err := images.forService(s)
	if err != nil {
		return executor.Service{}, err
	}
	user, err := images.user(s)
	if err != nil {
		return executor.Service{}, err
	}
	return executor.Service{
		Image:       r,
		Aliases:     strings.FieldsFunc(s.Alias, func(r rune) bool { return r == ',' || r == ' ' }),
		Entrypoint:  s.Entrypoint,
		Command:     s.Command,
		User:        user,
		Environment: environment(c, cfg, p.Folders.Project, s.Variables),
		Runtime:     cfg.Runtime,
	}, nil
}

// storageSettings honours a job's own TMPDIR, unless it is no place for one.
func storageSettings(c *Call, cfg *config.Config, log logrus.FieldLogger) (storage.Settings, error) {
	s := storage.Settings{Driver: cfg.Storage.Driver, TMPDIR: cfg.Storage.TmpDir, Isolation: cfg.Storage.Isolation}
	if dir := c.Variables["TMPDIR"]; dir != "" {
		if !path.IsAbs(dir) {
			return s, fault.Jobf("the job variable TMPDIR=%q is not an absolute path: write one, or leave it out for %s", dir, s.TMPDIR)
		}
		s.TMPDIR = path.Clean(dir)
	}
	enforced := s.Enforced()
	for _, name := range slices.Sorted(maps.Keys(enforced)) {
		if v, ok := c.Variables[name]; ok && v != enforced[name] {
			log.Warnf("The job variable %s is overridden by %s=%q: the executor enforces the storage driver %s.", name, name, enforced[name], s.Driver)
		}
	}
	return s, nil
}

// environment is what a container of the job starts with: the job's variables as
// GitLab's Docker executor gives them, then a service's own, then the
// administrator's. Nothing of the host's environment is in it.
func environment(c *Call, cfg *config.Config, project string, own []Variable) []string {
	vars := maps.Clone(c.Variables)
	if c.Job != nil {
		for _, v := range c.Job.Variables {
			if _, ok := vars[v.Key]; ok && v.File {
				vars[v.Key] = project + ".tmp/" + v.Key // where the scripts put the content
			}
		}
	}
	for _, v := range own {
		vars[v.Key] = v.Value
	}
	// An empty TMPDIR means the current folder to Buildah.
	delete(vars, "TMPDIR")
	maps.DeleteFunc(vars, func(name, _ string) bool {
		// Sysbox takes such variables for its own and refuses those it does not know.
		return strings.HasPrefix(name, "SYSBOX_")
	})
	for _, kv := range cfg.Job.Environment {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// projectDir is where the job's scripts find the project.
func (c *Call) projectDir(builds string) string {
	if dir := c.Variables["CI_PROJECT_DIR"]; path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return builds
}

// hostname is the one that GitLab's Docker executor gives, cut to what a host's
// name may be (RFC 1123).
func hostname(c *Call, id executor.Identity) string {
	short := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, c.Variables["CI_RUNNER_SHORT_TOKEN"])
	if short == "" {
		short = "none"
	}
	return fmt.Sprintf("runner-%.12s-project-%d-concurrent-%d", short, id.ProjectID, c.number("CI_CONCURRENT_ID")%10000)
}
