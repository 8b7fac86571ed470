package config

import (
	"path"
	"slices"
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

// Hardening has the rights of a job's containers. It has keys for what Sysbox refuses, too,
// so that such a value is rejected with a reason when the file is read, not in every job.
type Hardening struct {
	Privileged bool   `toml:"privileged"`
	UsernsMode string `toml:"userns_mode"`
	PidMode    string `toml:"pid_mode"`
	IpcMode    string `toml:"ipc_mode"`
	// SecurityOpt uses docker's notation, name=value; a seccomp profile is the absolute path
	// of a file on this machine.
	SecurityOpt []string `toml:"security_opt"`
	// CapAdd and CapDrop list capabilities, with or without CAP_, or ALL.
	CapAdd  []string `toml:"cap_add"`
	CapDrop []string `toml:"cap_drop"`
	// Sysctls lists name=value of kernel settings that each container has of its own.
	Sysctls []string `toml:"sysctls"`
	// AllowUnsafe permits settings that give access to the host or to other jobs.
	AllowUnsafe bool `toml:"allow_unsafe"`
}

func defaultHardening() Hardening {
	return Hardening{SecurityOpt: []string{}, CapAdd: []string{}, CapDrop: []string{}, Sysctls: []string{}}
}

var capability = lazyregexp.New(`^(ALL|(CAP_)?[A-Z][A-Z_]*)$`)

func (h *Hardening) check(k *checker) {
	if h.Privileged {
		k.bad("hardening.privileged", "true is not possible: Sysbox refuses privileged containers, and a job does not need it: it is root in its own user namespace and can run docker, podman and systemd there; write false")
	}
	k.namespace("hardening.userns_mode", h.UsernsMode, "it gives every container a user namespace of its own, which is what keeps a job's root from being the host's")
	k.namespace("hardening.pid_mode", h.PidMode, "a job could see and signal the host's processes")
	k.namespace("hardening.ipc_mode", h.IpcMode, "a job could reach the host's shared memory")
	for _, o := range h.SecurityOpt {
		k.securityOpt("hardening.security_opt", o)
	}
	for key, names := range map[string][]string{"hardening.cap_add": h.CapAdd, "hardening.cap_drop": h.CapDrop} {
		for _, name := range names {
			if !capability().MatchString(name) {
				k.bad(key, `%q is not a capability; write for example "NET_ADMIN", or "ALL"`, name)
			}
		}
	}
	k.pairs("hardening.sysctls", h.Sysctls, "net.core.somaxconn=1024", func(name, _ string) string {
		if !ownSysctl(name) {
			return "is not a setting that a container has of its own: those are net.*, kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.*"
		}
		return ""
	})
}

// namespace rejects the host's namespace, as Sysbox does, and that of another container.
func (k *checker) namespace(key, mode, reason string) {
	switch mode {
	case "", "private":
	case "host":
		k.bad(key, `"host" is not possible: Sysbox refuses it: %s; write "private" or ""`, reason)
	default:
		k.bad(key, `%q is not possible: every container of a job has a namespace of its own; write "private" or ""`, mode)
	}
}

func (k *checker) securityOpt(key, text string) {
	name, value, found := strings.Cut(text, "=")
	switch {
	case text == "no-new-privileges":
	case name == "no-new-privileges" && (value == "true" || value == "false"):
	case (name == "apparmor" || name == "label") && found && value != "" && !strings.ContainsFunc(value, blank):
	case name == "seccomp" && (value == "unconfined" || value == "builtin"):
	case name == "seccomp" && path.IsAbs(value):
	case name == "seccomp":
		k.bad(key, `%q is not the absolute path of a profile; write for example "seccomp=/etc/docker/ci.json", or "seccomp=unconfined"`, text)
	default:
		k.bad(key, `%q is not possible; write "no-new-privileges", or apparmor=, seccomp= or label= with a value`, text)
	}
}

// ownSysctl reports whether the kernel keeps a setting per namespace (runc,
// libcontainer/configs/validate, sysctl).
func ownSysctl(name string) bool {
	if slices.Contains([]string{
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
	}, name) {
		return true
	}
	return strings.HasPrefix(name, "net.") || strings.HasPrefix(name, "fs.mqueue.")
}
