// Package service says what a job's service containers are: what a service is
// called on the job's network, how one tells that it is ready, and how the job
// log tells of it. It holds no connection to an engine; the executor makes the
// containers.
package service

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"gitlab-sysbox-executor/executor/fault"
)

// port is that of a registry in a reference
// (gitlab-runner, helpers/container/services, referenceRegexpNoPort).
var port = regexp.MustCompile(`^(.*?)(:[0-9]+)?(/.*)?$`)

// Derived are the names that GitLab derives from an image's: without tag, digest
// and the registry's port, with "/" as "__" and as "-"
// (https://docs.gitlab.com/ci/services/#accessing-the-services). The error says
// what is wrong with the reference.
func Derived(image string) ([]string, error) {
	parts := reference.ReferenceRegexp.FindStringSubmatch(image)
	if parts == nil {
		return nil, fault.Jobf("service %s is not the name of an image; write for example \"postgres:16\"", fault.Quote(image))
	}
	bare := port.FindStringSubmatch(parts[1])
	name := bare[1] + bare[3]
	all := []string{strings.ReplaceAll(name, "/", "__"), strings.ReplaceAll(name, "/", "-")}
	return slices.Compact(all), nil
}

// Version is the image as the job log names it: with its tag, or its digest.
func Version(image string) string {
	parts := reference.ReferenceRegexp.FindStringSubmatch(image)
	if parts == nil || parts[2] != "" || parts[3] != "" {
		return image
	}
	return image + ":latest"
}

// alias is what a resolver can look up: underscores are common among the names
// derived from images.
var alias = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$`)

// longestAlias is DNS's (RFC 1035).
const longestAlias = 253

// Given are the aliases that a job gives a service in one text, by commas or
// blanks (gitlab-runner, common/spec, Image.Aliases).
func Given(text string) ([]string, error) {
	all := strings.Fields(strings.ReplaceAll(text, ",", " "))
	for _, a := range all {
		if len(a) > longestAlias || !alias.MatchString(a) {
			return nil, fault.Jobf("service alias %s is not a host's name: write letters, digits, \"-\", \"_\" and \".\", at most 63 between two dots", fault.Quote(a))
		}
	}
	return all, nil
}

// JobName is what the job is called on its network.
const JobName = "build"

// Names keeps each name of a job's network to one container.
type Names struct{ taken map[string]bool }

// Take returns those of a service's names that are free, and takes them; told
// says of each other one why it is left out, in GitLab's words.
func (n *Names) Take(image string, index int, names []string) (free, told []string) {
	if n.taken == nil {
		n.taken = map[string]bool{JobName: true}
	}
	for _, name := range names {
		switch {
		case slices.Contains(free, name):
		case n.taken[name]:
			told = append(told, fmt.Sprintf("Skipping alias %q for service %q (services[%d]): alias is already in use by another service.", name, image, index))
		default:
			free = append(free, name)
		}
	}
	for _, name := range free {
		n.taken[name] = true
	}
	return free, told
}

// PortVariable names the variable that says which TCP port tells that a service
// is ready, where it is not one of those that its image exposes.
const PortVariable = "HEALTHCHECK_TCP_PORT"

// mostPorts is how many exposed ports are tried
// (gitlab-runner, executors/docker, getContainerIPAndExposedPorts).
const mostPorts = 20

// Ports are the TCP ports of which one that answers tells that a service is
// ready: the one that its variable names, which asked tells, or else those that
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
