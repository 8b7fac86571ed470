package config

import (
	"path"
	"slices"
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

var variableName = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// ownVariables have keys of their own. With two sources for one variable it would be
// unclear which one wins.
var ownVariables = map[string]string{
	"TMPDIR":                  "storage.tmpdir",
	"STORAGE_DRIVER":          "storage.driver",
	"STORAGE_OPTS":            "storage.driver",
	"CONTAINERS_STORAGE_CONF": "storage.driver",
	"BUILDAH_ISOLATION":       "storage.isolation",
}

// sysboxSwitches are the SYSBOX_ variables with the values TRUE and FALSE. Sysbox refuses to
// create a container with any other SYSBOX_ variable or value (sysbox-runc,
// libsysbox/syscont/spec.go, getSysboxEnvVarConfigs).
var sysboxSwitches = []string{
	"SYSBOX_ALLOW_TRUSTED_XATTR",
	"SYSBOX_HONOR_CAPS",
	"SYSBOX_IGNORE_SYSFS_CHOWN",
	"SYSBOX_SYSCONT_MODE",
}

// sysboxPaths is the one SYSBOX_ variable whose value is a list of paths.
const sysboxPaths = "SYSBOX_SKIP_UID_SHIFT"

// environment requires KEY=value with unique keys. Its messages contain no value and nothing
// that may be one, because values may be secret.
func (k *checker) environment(key string, variables []string) {
	seen := map[string]bool{}
	for i, variable := range variables {
		name, value, found := strings.Cut(variable, "=")
		switch {
		case !found || !variableName().MatchString(name):
			k.bad(key, `entry %d is not NAME=value with a name of letters, digits, "_", "." and "-"; write for example "LANG=C.UTF-8"`, i+1)
			continue
		case seen[name]:
			k.bad(key, "%s is set twice; keep one", name)
		case strings.ContainsRune(value, 0):
			k.bad(key, "%s has a NUL character in its value, which a variable cannot contain; remove it", name)
		case ownVariables[name] != "":
			k.bad(key, "%s has a key of its own; write %s instead", name, ownVariables[name])
		case strings.HasPrefix(name, "SYSBOX_"):
			k.sysboxVariable(key, name, value)
		}
		seen[name] = true
	}
}

func (k *checker) sysboxVariable(key, name, value string) {
	switch {
	case name == sysboxPaths:
		relative := func(p string) bool { return !path.IsAbs(p) }
		// Sysbox splits the variable at every "=".
		if strings.ContainsFunc(value, blank) || strings.Contains(value, "=") || slices.ContainsFunc(strings.Split(value, ","), relative) {
			k.bad(key, `%s is not a list of absolute paths without spaces or "="; write for example "%s=/var/lib/a,/var/lib/b"`, name, name)
		}
	case !slices.Contains(sysboxSwitches, name):
		k.bad(key, "%s is unknown to Sysbox, which would refuse to create the container; it knows %s, %s", name, strings.Join(sysboxSwitches, ", "), sysboxPaths)
	case value != "TRUE" && value != "FALSE":
		k.bad(key, `%s is neither TRUE nor FALSE; write for example "%s=TRUE"`, name, name)
	}
}
