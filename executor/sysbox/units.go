package sysbox

import (
	"strings"
)

// masked are units that cannot work in a container under Sysbox: they fail, or wait for an event
// that never comes.
var masked = []string{
	"systemd-journald-audit.socket",        // the audit socket belongs to the host
	"systemd-udevd.service",                // the container manages no devices,
	"systemd-udevd-control.socket",         // ... and a write to uevent files
	"systemd-udevd-kernel.socket",          // ... would reach
	"systemd-udev-trigger.service",         // ... the host's
	"systemd-firstboot.service",            // asks questions on a console
	"systemd-networkd-wait-online.service", // the engine creates the network, so networkd never reports it
	"sys-kernel-config.mount",              // file systems of the kernel:
	"sys-kernel-debug.mount",               // ... not permitted in a user namespace
	"sys-kernel-tracing.mount",
	"sys-fs-fuse-connections.mount",
	"proc-sys-fs-binfmt_misc.automount",
	"proc-sys-fs-binfmt_misc.mount",
	"dev-hugepages.mount",
	"console-getty.service", // there is no console
}

// InitArgs returns the arguments of a container's first process that boot systemd. In a
// container systemd reads from its arguments what it otherwise reads from the kernel's
// command line (kernel-command-line(7)). So units are masked without a change to the image's
// files.
func InitArgs(own []string) []string {
	args := append([]string{Init}, own...)
	for _, unit := range masked {
		args = append(args, "systemd.mask="+unit)
	}
	return args
}

// The paths of a SystemdConfig file: for the system manager and for the user managers.
const (
	SystemConfigFile = "/etc/systemd/system.conf.d/50-gitlab-sysbox-executor.conf"
	UserConfigFile   = "/etc/systemd/user.conf.d/50-gitlab-sysbox-executor.conf"
)

// SystemdConfig returns a configuration that sets environment (NAME=value) for every unit:
// systemd starts units with an empty environment.
func SystemdConfig(environment []string) []byte {
	// systemd-system.conf(5): values are quoted as in systemd.syntax(7), and % starts a
	// specifier.
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`)
	var words []string
	for _, kv := range environment {
		words = append(words, `"`+escape.Replace(kv)+`"`)
	}
	return []byte("# Written by gitlab-sysbox-executor for this job.\n[Manager]\nDefaultEnvironment=" + strings.Join(words, " ") + "\n")
}
