package sysbox

import (
	"strings"
)

// masked are units that cannot work in a container under Sysbox: they fail, or
// wait for what never comes.
var masked = []string{
	"systemd-journald-audit.socket",        // the audit socket belongs to the host
	"systemd-udevd.service",                // no device is the container's to manage,
	"systemd-udevd-control.socket",         // ... and writing to its uevent files
	"systemd-udevd-kernel.socket",          // ... would reach
	"systemd-udev-trigger.service",         // ... the host's
	"systemd-firstboot.service",            // asks questions on a console
	"systemd-networkd-wait-online.service", // the engine makes the network, networkd never sees it come
	"sys-kernel-config.mount",              // file systems of the kernel's own insides:
	"sys-kernel-debug.mount",               // ... not permitted in a user namespace
	"sys-kernel-tracing.mount",
	"sys-fs-fuse-connections.mount",
	"proc-sys-fs-binfmt_misc.automount",
	"proc-sys-fs-binfmt_misc.mount",
	"dev-hugepages.mount",
	"console-getty.service", // there is no console
}

// InitArgs are the arguments of a container's first process that boot systemd.
// In a container systemd takes from them what it takes from the kernel's command
// line elsewhere (kernel-command-line(7)), so units are masked without touching
// any file of the image.
func InitArgs(own []string) []string {
	args := append([]string{Init}, own...)
	for _, unit := range masked {
		args = append(args, "systemd.mask="+unit)
	}
	return args
}

// The places of a file of SystemdConfig: the manager's own, and that of each
// user's.
const (
	SystemConfigFile = "/etc/systemd/system.conf.d/50-gitlab-sysbox-executor.conf"
	UserConfigFile   = "/etc/systemd/user.conf.d/50-gitlab-sysbox-executor.conf"
)

// SystemdConfig is the text of a configuration that gives environment
// (NAME=value) to every unit: systemd starts them with an empty one.
func SystemdConfig(environment []string) []byte {
	// systemd-system.conf(5): the quoting of systemd.syntax(7), % begins a specifier.
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`)
	var words []string
	for _, kv := range environment {
		words = append(words, `"`+escape.Replace(kv)+`"`)
	}
	return []byte("# Written by gitlab-sysbox-executor for this job.\n[Manager]\nDefaultEnvironment=" + strings.Join(words, " ") + "\n")
}
