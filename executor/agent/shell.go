package agent

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// shells are tried in this order, bash first, as in GitLab Runner's own detection
// (shells/bash.go, BashDetectShellScript).
var shells = []string{
	"/usr/local/bin/bash", "/usr/bin/bash", "/bin/bash",
	"/usr/local/bin/sh", "/usr/bin/sh", "/bin/sh", "/busybox/sh",
}

// findShell returns the path of the image's shell, or "".
func findShell() string {
	for _, path := range shells {
		if i, err := os.Stat(path); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// knowsANSIQuoting asks the shell whether it understands $'...', which the Runner's scripts use
// and dash does not support.
func knowsANSIQuoting(shell string, attr *syscall.SysProcAttr) (bool, error) {
	c := exec.Command(shell, "-c", `printf %s $'a\x62'`)
	c.Dir, c.SysProcAttr = "/", attr
	out, err := c.Output()
	if err != nil {
		return false, err
	}
	return string(out) == "ab", nil
}

// IsShell reports whether path is one that findShell may return.
func IsShell(path string) bool { return slices.Contains(shells, path) }
