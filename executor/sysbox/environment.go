package sysbox

import (
	"slices"
	"strings"
)

// variablePrefix begins the variables of a container's environment that Sysbox takes
// for its own settings (sysbox-runc, libsysbox/syscont/spec.go).
const variablePrefix = "SYSBOX_"

// Unset is env with an entry more for each of Sysbox's variables that the image sets
// and env does not: the name alone, which makes the engine leave the variable out
// (moby, container/env.go, ReplaceOrAppendEnvVars). An image is not to change its own
// sandbox.
func Unset(env, image []string) []string {
	all := slices.Clone(env)
	for _, entry := range image {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, variablePrefix) && !slices.ContainsFunc(all, func(e string) bool { return e == name || strings.HasPrefix(e, name+"=") }) {
			all = append(all, name)
		}
	}
	return all
}
