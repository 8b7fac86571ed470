package docker

import (
	"path"
	"slices"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/lazyregexp"
)

var plainPath = lazyregexp.New(`^(/[A-Za-z0-9._-]+)+$`)

// certificates are the folders that DOCKER_TLS_CERTDIR names. The job and its services
// share them, because a service such as docker:dind writes certificates for its clients
// there. Folders that overlap mounts are left out. Images are those of the services.
func certificates(p job.Plan, images []engine.Image, mounts []engine.Mount) (targets []string) {
	for n, s := range p.Services {
		target := path.Clean(valueOf("DOCKER_TLS_CERTDIR", images[n].Env, s.Environment))
		if !plainPath().MatchString(target) {
			continue
		}
		// A folder that overlaps a mount is already shared, or is the administrator's.
		overlaps := func(other string) bool { return config.Overlap(other, target) }
		if place, _ := config.Reserved(target); place != "" || jobcontainer.Occupied(p, spec.Targets(mounts), target) || slices.ContainsFunc(targets, overlaps) {
			continue
		}
		targets = append(targets, target)
	}
	return targets
}

// valueOf is the last value of a variable in lists of NAME=value.
func valueOf(name string, lists ...[]string) (value string) {
	for _, kv := range slices.Concat(lists...) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}
