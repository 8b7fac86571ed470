package sysbox

import (
	"slices"
	"strings"
)

// variablePrefix marks the environment variables that Sysbox reads as settings of the container
// (sysbox-runc, libsysbox/syscont/spec.go).
const variablePrefix = "SYSBOX_"

// Unset returns env with an added entry for each SYSBOX_ variable that the image sets and
// env does not. The entry is the name alone, so the engine removes the variable (moby,
// container/env.go, ReplaceOrAppendEnvVars). Otherwise an image could change its own
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
