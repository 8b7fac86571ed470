package kubernetes

import (
	"strings"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
)

// refuse rejects a job that needs what this backend does not have.
func refuse(p job.Plan) error {
	switch {
	case len(p.Services) > 0:
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which have no services yet: remove services: from the job, or take a runner with a Docker Engine")
	case p.Systemd != nil && *p.Systemd:
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which do not boot systemd yet: remove EXECUTOR_SYSTEMD=true, or take a runner with a Docker Engine")
	case p.Image.Platform != "":
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which have the platform of their node: remove the platform %s from the job's image", fault.Quote(p.Image.Platform))
	case len(p.Image.Policies) != 1:
		var names []string
		for _, policy := range p.Image.Policies {
			names = append(names, string(policy))
		}
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which have one pull policy: write one instead of %s", strings.Join(names, ", "))
	}
	return nil
}
