// Package service says what a job's service containers are: what a service is
// called on the job's network, and how one tells that it is ready. It holds no
// connection to an engine; the executor makes the containers.
package service

import (
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// Aliases are the names of a service on the job's network: those the job gave
// it, then the two that GitLab derives from an image's name without tag and
// digest, with "/" as "__" and as "-"
// (https://docs.gitlab.com/ci/services/#accessing-the-services). The error says
// what is wrong with the reference.
func Aliases(image string, given []string) ([]string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, err
	}
	// What was written counts: no docker.io/library/ that only normalising added.
	name := reference.FamiliarName(named)
	if domain := reference.Domain(named); strings.HasPrefix(image, domain+"/") {
		name = named.Name()
	}
	name = strings.ReplaceAll(name, ":", "-") // a registry's port
	var all []string
	seen := map[string]bool{}
	for _, a := range append(given[:len(given):len(given)],
		strings.ReplaceAll(name, "/", "__"), strings.ReplaceAll(name, "/", "-")) {
		if a != "" && !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	return all, nil
}

// PortVariable names the variable that says which TCP port tells that a service
// is ready, where it is not the lowest exposed one.
const PortVariable = "HEALTHCHECK_TCP_PORT"

// Port is the TCP port that tells that a service is ready: the one its variable
// names, else the lowest that its image exposes; 0 when there is none.
func Port(environment, exposed []string) int {
	for _, kv := range environment {
		if v, ok := strings.CutPrefix(kv, PortVariable+"="); ok {
			if n, err := strconv.Atoi(v); err == nil && n > 0 && n < 1<<16 {
				return n
			}
		}
	}
	lowest := 0
	for _, e := range exposed {
		number, proto, _ := strings.Cut(e, "/")
		if proto != "" && proto != "tcp" {
			continue
		}
		if n, err := strconv.Atoi(number); err == nil && (lowest == 0 || n < lowest) {
			lowest = n
		}
	}
	return lowest
}
