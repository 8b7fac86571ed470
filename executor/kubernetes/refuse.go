package kubernetes

import (
	"fmt"
	"strings"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
)

// refuse rejects a job that needs what this backend does not have.
func refuse(p job.Plan) error {
	if err := refuseContainer(p.Image); err != nil {
		return err
	}
	for _, s := range p.Services {
		if err := refuseContainer(s.Image); err != nil {
			return fmt.Errorf("service %s: %w", s.Image.Reference, err)
		}
	}
	return nil
}

// refuseContainer is refuse for the job container or a service.
func refuseContainer(r image.Request) error {
	switch {
	case r.Platform != "":
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which have the platform of their node: remove the platform %s of image %s", fault.Quote(r.Platform), r.Reference)
	case len(r.Policies) != 1:
		var names []string
		for _, policy := range r.Policies {
			names = append(names, string(policy))
		}
		return fault.Jobf("this runner runs jobs as pods of Kubernetes, which have one pull policy for each image: write one instead of %s for image %s", strings.Join(names, ", "), r.Reference)
	}
	return nil
}
