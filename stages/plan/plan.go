// Package plan turns a call of the Runner and the configuration into a plan for the
// executor: the job's images, services, folders, helper and limits.
package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/stages/contract"
)

// Make returns the plan of the job's environment. Its errors are the job's fault.
func Make(c *contract.Call, cfg *config.Config, log logrus.FieldLogger) (job.Plan, error) {
	id, err := c.Identity()
	if err != nil {
		return job.Plan{}, err
	}
	asked := c.Job
	settings, err := storageSettings(c, cfg, log)
	if err != nil {
		return job.Plan{}, err
	}
	kept, err := folders(c, cfg, id, log)
	if err != nil {
		return job.Plan{}, err
	}
	p := job.Plan{
		Identity:          id,
		Runtime:           cfg.Runtime,
		Hostname:          cmp.Or(cfg.Container.Hostname, hostname(c, id)),
		Entrypoint:        asked.Image.Entrypoint,
		Container:         cfg.Container,
		Hardening:         cfg.Hardening,
		Network:           cfg.Network,
		Storage:           settings,
		Volume:            volume(cfg),
		Folders:           kept,
		SharedImages:      cfg.Images.Offer,
		Emulate:           cfg.Job.Emulate,
		EmulatorDir:       cfg.Job.EmulatorDir,
		EntrypointTimeout: time.Duration(cfg.Job.EntrypointTimeout),
		ServiceLogs:       ServiceLogs(c, cfg),
		SystemdTimeout:    time.Duration(cfg.Job.SystemdTimeout),
		InspectTimeout:    time.Duration(cfg.Job.InspectTimeout),
		SystemdRefused:    systemdRefused(cfg.Job),
	}
	images := imageRules{c, cfg}
	if p.Image, err = images.forJob(asked.Image); err != nil {
		return job.Plan{}, err
	}
	if err := possible(asked.Image, nil); err != nil {
		return job.Plan{}, fault.Jobf("image: %w", err)
	}
	limits, err := overridden(c.Variables, cfg)
	if err != nil {
		return job.Plan{}, err
	}
	p.Resources, p.ServiceTimeout = limits.job, time.Duration(limits.wait)
	if p.User, err = images.jobUser(asked.Image); err != nil {
		return job.Plan{}, err
	}
	if p.Helper, err = helper(c, cfg); err != nil {
		return job.Plan{}, err
	}
	if p.Systemd, err = systemd(c); err != nil {
		return job.Plan{}, err
	}
	p.Environment = environment(cfg, c.JobVariables(c.TempDir(cfg.Job.BuildsDir)))
	if p.Services, err = services(c, cfg, asked.Services, limits.service, log); err != nil {
		return job.Plan{}, err
	}
	return p, nil
}

// storageSettings uses the job's own TMPDIR if it is valid.
func storageSettings(c *contract.Call, cfg *config.Config, log logrus.FieldLogger) (storage.Settings, error) {
	// Overlay is used only after a successful test in the job's container.
	s := storage.Settings{Driver: "vfs", TMPDIR: cfg.Storage.TmpDir, Isolation: cfg.Storage.Isolation}
	if s.Isolation == "auto" {
		s.Isolation = "chroot" // works everywhere
		if _, chosen := c.Variables["BUILDAH_ISOLATION"]; !chosen {
			s.TryIsolation = "rootless"
		}
	}
	if dir := c.Variables["TMPDIR"]; dir != "" {
		if !path.IsAbs(dir) {
			return s, fault.Jobf("the job variable TMPDIR=%s is not an absolute path: write one, or remove it to use %s", fault.Quote(dir), s.TMPDIR)
		}
		if strings.ContainsFunc(dir, unicode.IsControl) || !utf8.ValidString(dir) {
			return s, fault.Jobf("the job variable TMPDIR=%s contains a control character or invalid UTF-8: write another, or remove it to use %s", fault.Quote(dir), s.TMPDIR)
		}
		s.TMPDIR, s.JobsTMPDIR = path.Clean(dir), path.Clean(dir) != path.Clean(s.TMPDIR)
	}
	enforced := s.Enforced()
	for _, name := range slices.Sorted(maps.Keys(enforced)) {
		v, ok := c.Variables[name]
		if !ok || v == enforced[name] || name == "STORAGE_DRIVER" && v == cfg.Storage.Driver {
			continue
		}
		if cfg.Storage.DriverConflict == "fail" {
			return s, fault.Jobf("the job variable %s contradicts the storage driver %s, which is enforced on this runner: remove the variable", name, cfg.Storage.Driver)
		}
		log.Warnf("The job variable %s is overridden by %s=%q: the executor enforces the storage driver %s.", name, name, enforced[name], cfg.Storage.Driver)
	}
	return s, nil
}

// volume returns the configuration of the jobs' storage volumes.
func volume(cfg *config.Config) job.Volume {
	s := cfg.Storage
	return job.Volume{
		Backend: s.Backend, Folder: cfg.VolumeFolder(), Size: int64(s.Size), MinFree: int64(s.MinFree), Overcommit: s.Overcommit,
		Overlay: s.Driver == "overlay", MostKept: int64(s.MostKept()),
	}
}

// environment returns the initial environment of a container of the job: these variables,
// then the administrator's. It contains no variable of the host.
func environment(cfg *config.Config, vars map[string]string) []string {
	vars = maps.Clone(vars)
	// Buildah takes an empty TMPDIR for the current folder.
	delete(vars, "TMPDIR")
	maps.DeleteFunc(vars, func(name, _ string) bool {
		// Sysbox takes these variables for its own and rejects unknown ones.
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

// hostname returns the name that GitLab's Docker executor gives, cut to a valid host name
// (RFC 1123).
func hostname(c *contract.Call, id job.Identity) string {
	short := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, c.Variables["CI_RUNNER_SHORT_TOKEN"])
	if short == "" {
		short = "none"
	}
	return fmt.Sprintf("runner-%.12s-project-%d-concurrent-%d", short, id.ProjectID, c.Number("CI_CONCURRENT_ID")%10000)
}
