package plan

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/stages/contract"
)

// services plans the job's services. Like GitLab's Docker executor it omits a service if other
// services have all of its names.
func services(c *contract.Call, cfg *config.Config, named []contract.Image, limits config.Resources, log logrus.FieldLogger) ([]job.Service, error) {
	if most := cfg.Services.Limit; most >= 0 && int64(len(named)) > most {
		return nil, fault.Jobf("too many services requested: %d, only %d allowed", len(named), most)
	}
	var all []job.Service
	var names service.Names
	variables := c.JobVariables(c.TempDir(cfg.Job.BuildsDir))
	for n, s := range named {
		one, err := servicePlan(c, cfg, s, variables)
		if err != nil {
			return nil, err
		}
		reference := one.Image.Reference
		free, warnings := names.Take(reference, n, one.Aliases)
		for _, w := range warnings {
			log.Warn(w)
		}
		if len(free) == 0 {
			log.Warnf("Service %q (services[%d]) is not started: other services have all of its names. Give it an alias of its own.", reference, n)
			continue
		}
		one.Aliases, one.Resources = free, limits
		all = append(all, one)
	}
	return all, nil
}

func servicePlan(c *contract.Call, cfg *config.Config, s contract.Image, jobs map[string]string) (job.Service, error) {
	images := imageRules{c, cfg}
	s.Name, s.Alias = images.expand(s.Name), images.expand(s.Alias) // older Runners do not expand them
	r, err := images.forService(s)
	if err != nil {
		return job.Service{}, err
	}
	user, err := images.serviceUser(s)
	if err != nil {
		return job.Service{}, err
	}
	derived, err := service.Derived(s.Name)
	if err != nil {
		return job.Service{}, err
	}
	given, err := service.Given(s.Alias)
	if err != nil {
		return job.Service{}, fault.Jobf("service %s: %w", s.Name, err)
	}
	variables, err := serviceVariables(c, s, jobs)
	if err == nil {
		err = possible(s, variables)
	}
	if err != nil {
		return job.Service{}, fault.Jobf("service %s: %w", s.Name, err)
	}
	systemd, err := serviceSystemd(s)
	if err != nil {
		return job.Service{}, err
	}
	label := strings.Join(given, "-")
	if label == "" {
		label = derived[0]
	}
	return job.Service{
		Image:       r,
		Aliases:     append(derived, given...),
		Label:       label,
		Entrypoint:  s.Entrypoint,
		Command:     s.Command,
		User:        user,
		Systemd:     systemd,
		Environment: environment(cfg, variables),
		Runtime:     cfg.ServiceRuntime(),
		Tmpfs:       cfg.Services.Tmpfs,
	}, nil
}

// serviceVariables returns the initial variables of a service: the job's that are public or the
// Runner's own, and the service's, which may refer to all of the job's (gitlab-runner,
// common/build.go, GetServiceVariables).
func serviceVariables(c *contract.Call, s contract.Image, job map[string]string) (map[string]string, error) {
	all := maps.Clone(job)
	for _, v := range c.Job.Variables {
		if v.Public {
			if value, ok := job[v.Key]; ok {
				all[v.Key] = value
			}
		} else {
			delete(all, v.Key)
		}
	}
	for name := range c.Job.Secrets {
		delete(all, name)
	}
	source := expander{maps.Clone(job)}
	for _, v := range s.Variables {
		source.variables[v.Key] = v.Value
	}
	for _, v := range s.Variables {
		if v.Key == "" || strings.ContainsAny(v.Key, "=\x00") {
			return nil, fmt.Errorf("%s is not the name of a variable", fault.Quote(v.Key))
		}
		if !v.Raw {
			if err := source.expand(&v.Value); err != nil {
				return nil, fmt.Errorf("variable %s: %w", fault.Quote(v.Key), err)
			}
		}
		all[v.Key] = v.Value
	}
	return all, nil
}

// longest is the longest argument or variable, in bytes.
const longest = agent.LongestWord

// expander replaces references to variables as the Runner does (common/spec,
// Variables.ExpandValue): once, and an unknown variable by an empty text.
type expander struct{ variables map[string]string }

func (x expander) expand(text *string) error {
	size := len(*text)
	expanded := os.Expand(*text, func(name string) string {
		switch name {
		case "$":
			return name
		case "*", "#", "@", "!", "?", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9":
			return ""
		}
		value := x.variables[name]
		if size += len(value); size > 2*longest {
			return "" // rejected below; many references to a long value would fill the memory
		}
		return value
	})
	if size > 2*longest {
		return fmt.Errorf("after the replacement of its references it is too long: a process accepts at most %d bytes", longest)
	}
	*text = expanded
	return nil
}

// possible rejects texts with which no process can start.
func possible(s contract.Image, variables map[string]string) error {
	check := func(what, text string) error {
		switch {
		case len(text) > longest:
			return fmt.Errorf("%s has %d bytes; a process accepts at most %d", what, len(text), longest)
		case strings.ContainsRune(text, 0):
			return fmt.Errorf("%s contains a NUL character, which no process accepts", what)
		}
		return nil
	}
	for what, list := range map[string][]string{"entrypoint": s.Entrypoint, "command": s.Command} {
		for n, text := range list {
			if err := check(fmt.Sprintf("%s[%d]", what, n), text); err != nil {
				return err
			}
		}
	}
	for name, value := range variables {
		if err := check("variable "+fault.Quote(name), name+"="+value); err != nil {
			return err
		}
	}
	return nil
}

// ServiceLogs reports whether the job asks for its services' logs in its own and may have them.
func ServiceLogs(c *contract.Call, cfg *config.Config) bool {
	wanted, err := strconv.ParseBool(c.Variables["CI_DEBUG_SERVICES"])
	return err == nil && wanted && cfg.Services.DebugLogs
}
