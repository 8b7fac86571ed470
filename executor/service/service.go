// Package service defines a job's service containers: their names on the job's network, how to find out
// whether they are ready, and their lines in the job log. It does not connect to an engine; the executor
// makes the containers.
package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/lazyregexp"
)

// port matches the port of a registry in a reference
// (gitlab-runner, helpers/container/services, referenceRegexpNoPort).
var port = lazyregexp.New(`^(.*?)(:[0-9]+)?(/.*)?$`)

// Derived returns the names that GitLab derives from an image's name: without tag, digest and the
// registry's port, once with "__" and once with "-" for "/"
// (https://docs.gitlab.com/ci/services/#accessing-the-services). An error describes what is wrong with
// the reference.
func Derived(image string) ([]string, error) {
	parts := reference.ReferenceRegexp.FindStringSubmatch(image)
	if parts == nil {
		return nil, fault.Jobf("service %s is not the name of an image; write for example \"postgres:16\"", fault.Quote(image))
	}
	bare := port().FindStringSubmatch(parts[1])
	name := bare[1] + bare[3]
	all := []string{strings.ReplaceAll(name, "/", "__"), strings.ReplaceAll(name, "/", "-")}
	return slices.Compact(all), nil
}

// Version is the image's name in the job log, with its tag or digest.
func Version(image string) string {
	parts := reference.ReferenceRegexp.FindStringSubmatch(image)
	if parts == nil || parts[2] != "" || parts[3] != "" {
		return image
	}
	return image + ":latest"
}

// alias matches names that a resolver can look up. Names derived from images often have underscores.
var alias = lazyregexp.New(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$`)

// longestAlias is the limit of DNS (RFC 1035).
const longestAlias = 253

// Given splits the aliases that a job gives a service, which are separated by commas or blanks
// (gitlab-runner, common/spec, Image.Aliases).
func Given(text string) ([]string, error) {
	all := strings.Fields(strings.ReplaceAll(text, ",", " "))
	for _, a := range all {
		if len(a) > longestAlias || !alias().MatchString(a) {
			return nil, fault.Jobf("service alias %s is not a host's name: write letters, digits, \"-\", \"_\" and \".\", at most 63 between two dots", fault.Quote(a))
		}
	}
	return all, nil
}

// JobName is the name of the job container on its network.
const JobName = "build"

// Names assigns each name on a job's network to only one container.
type Names struct{ taken map[string]bool }

// Take returns the names of a service that are free, and takes them. Skipped has a message for each other
// name, with GitLab's text.
func (n *Names) Take(image string, index int, names []string) (free, skipped []string) {
	if n.taken == nil {
		n.taken = map[string]bool{JobName: true}
	}
	for _, name := range names {
		switch {
		case slices.Contains(free, name):
		case n.taken[name]:
			skipped = append(skipped, fmt.Sprintf("Skipping alias %q for service %q (services[%d]): alias is already in use by another service.", name, image, index))
		default:
			free = append(free, name)
		}
	}
	for _, name := range free {
		n.taken[name] = true
	}
	return free, skipped
}

// PortVariable is the variable with the TCP port of a service's readiness check. Without it, the ports that
// the image exposes are used.
const PortVariable = "HEALTHCHECK_TCP_PORT"

// mostPorts limits the number of exposed ports that are tried
// (gitlab-runner, executors/docker, getContainerIPAndExposedPorts).
const mostPorts = 20

// Ports are the TCP ports for the readiness check: a service is ready when one of them accepts a connection.
// The port of the service's variable comes first, and asked is true then. Otherwise these are the ports that
// its image exposes, lowest first.
func Ports(environment, exposed []string) (ports []int, asked bool, err error) {
	for _, kv := range slices.Backward(environment) {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.EqualFold(name, PortVariable) || value == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 1 || n > 65535 {
			return nil, true, fault.Jobf("%s=%s is not a port: write a number from 1 to 65535", PortVariable, fault.Quote(value))
		}
		return []int{n}, true, nil
	}
	for _, e := range exposed {
		number, protocol, _ := strings.Cut(e, "/")
		if protocol != "" && protocol != "tcp" {
			continue
		}
		if n, err := strconv.Atoi(number); err == nil {
			ports = append(ports, n)
		}
	}
	slices.Sort(ports)
	return ports[:min(len(ports), mostPorts)], false, nil
}
