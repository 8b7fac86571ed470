package sysbox

import (
	"path"
	"strings"
)

// spareDir is outside every folder on which something is mounted when a
// container starts.
const spareDir = "/opt/gitlab-sysbox-executor-mounts"

// Spare is the second place for what is mounted at target in a container that
// boots systemd; empty where none is needed. The tmpfs on /run hides it in
// Sysbox before 0.6.4 (nestybox/sysbox#767), or when anything else mounts one.
func Spare(target string) string {
	target = path.Clean(target)
	for _, dir := range []string{"/run", "/var/run"} {
		if strings.HasPrefix(target, dir+"/") {
			return spareDir + target
		}
	}
	return ""
}
