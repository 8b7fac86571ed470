package config

import "testing"

func TestHardening(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string
	}{
		{"all", `
privileged = false
userns_mode = "private"
security_opt = ["no-new-privileges", "no-new-privileges=true", "apparmor=ci", "label=disable", "seccomp=unconfined", "seccomp=/etc/ci.json"]
cap_add = ["NET_ADMIN", "CAP_SYS_PTRACE"]
cap_drop = ["ALL"]
allow_unsafe = true
sysctls = ["net.core.somaxconn=1024", "kernel.sem=1 2 3 4", "fs.mqueue.msg_max=20"]`, nil},
		{"what Sysbox refuses", `
privileged = true
userns_mode = "host"
pid_mode = "host"
ipc_mode = "host"`, []string{
			"c.toml:3: hardening.privileged: true is not possible: Sysbox refuses privileged containers, and a job does not need it: it is root in its own user namespace and can run docker, podman and systemd there; write false",
			`c.toml:4: hardening.userns_mode: "host" is not possible: Sysbox refuses it: it gives every container a user namespace of its own, which is what keeps a job's root from being the host's; write "private" or ""`,
			`c.toml:5: hardening.pid_mode: "host" is not possible: Sysbox refuses it: a job could see and signal the host's processes; write "private" or ""`,
			`c.toml:6: hardening.ipc_mode: "host" is not possible: Sysbox refuses it: a job could reach the host's shared memory; write "private" or ""`}},
		{"another container's", `ipc_mode = "container:x"`, []string{
			`c.toml:2: hardening.ipc_mode: "container:x" is not possible: every container of a job has a namespace of its own; write "private" or ""`}},
		{"options", `security_opt = ["seccomp=profile.json", "seccomp", "selinux=x", "apparmor="]`, []string{
			`c.toml:2: hardening.security_opt: "apparmor=" is not possible; write "no-new-privileges", or apparmor=, seccomp= or label= with a value`,
			`c.toml:2: hardening.security_opt: "seccomp" is not the absolute path of a profile; write for example "seccomp=/etc/docker/ci.json", or "seccomp=unconfined"`,
			`c.toml:2: hardening.security_opt: "seccomp=profile.json" is not the absolute path of a profile; write for example "seccomp=/etc/docker/ci.json", or "seccomp=unconfined"`,
			`c.toml:2: hardening.security_opt: "selinux=x" is not possible; write "no-new-privileges", or apparmor=, seccomp= or label= with a value`}},
		{"capabilities and settings", `
cap_add = ["net_admin"]
sysctls = ["vm.swappiness=1", "net.a=1", "net.a=2", "x"]`, []string{
			`c.toml:3: hardening.cap_add: "net_admin" is not a capability; write for example "NET_ADMIN", or "ALL"`,
			`c.toml:4: hardening.sysctls: "x" is not name=value; write for example "net.core.somaxconn=1024"`,
			`c.toml:4: hardening.sysctls: net.a is set twice; keep one`,
			`c.toml:4: hardening.sysctls: vm.swappiness is not a setting that a container has of its own: those are net.*, kernel.msg*, kernel.sem, kernel.shm* and fs.mqueue.*; write for example "net.core.somaxconn=1024"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, "[hardening]\n"+tt.data, tt.want...) })
	}
}
