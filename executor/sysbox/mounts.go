package sysbox

import (
	"path"
	"strings"
)

// spareDir is outside every folder on which a starting container mounts a file system.
const spareDir = "/opt/gitlab-sysbox-executor-mounts"

// Spare returns a second path for a mount at target in a container that boots systemd; empty
// if none is needed. systemd's tmpfs on /run hides the target in Sysbox before 0.6.4
// (nestybox/sysbox#767), and so does any other mount on /run.
func Spare(target string) string {
	target = path.Clean(target)
	for _, dir := range []string{"/run", "/var/run"} {
		if strings.HasPrefix(target, dir+"/") {
			return spareDir + target
		}
	}
	return ""
}
