// Package storage is about the job's own storage volume: where container tools
// in the job keep images, layers and temporary files, and what makes them use
// the storage driver that works there.
package storage

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Mountpoint is where the job's storage volume is mounted. The default stores of
// Buildah, Podman, Skopeo and CRI-O are below it; it is not one of the folders
// that Sysbox itself provides for.
const Mountpoint = "/var/lib/containers"

// RootlessStores is where the stores of users other than root lie, one folder
// per user number: on the volume, like root's.
const RootlessStores = Mountpoint + "/users"

// SystemConfig is the file that tools read when nothing else tells them
// (containers-storage.conf(5)).
const SystemConfig = "/etc/containers/storage.conf"

// Settings are what the tools in a job are told.
type Settings struct {
	Driver    string // containers/storage driver
	TMPDIR    string // container path; a folder of mode 1777
	Isolation string // of Buildah's RUN steps; empty leaves it to Buildah
}

// Enforced are the variables that a job cannot set otherwise. An empty
// STORAGE_OPTS clears the options of the image's own configuration, among them
// mount_program and mountopt, which vfs refuses.
func (s Settings) Enforced() map[string]string {
	return map[string]string{"STORAGE_DRIVER": s.Driver, "STORAGE_OPTS": ""}
}

// Environment are the variables of the job's container and of its services.
func (s Settings) Environment() []string {
	env := []string{"STORAGE_DRIVER=" + s.Driver, "STORAGE_OPTS=", "TMPDIR=" + s.TMPDIR}
	if s.Isolation != "" {
		env = append(env, "BUILDAH_ISOLATION="+s.Isolation)
	}
	return env
}

// Config is the text of the storage configuration that tools read when the
// environment does not reach them: Buildah 1.28 ignores STORAGE_DRIVER where
// there is none, and sudo, env -i and systemd drop the environment.
func (s Settings) Config() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by gitlab-sysbox-executor for this job.\n[storage]\n")
	fmt.Fprintf(&b, "driver = %s\n", strconv.Quote(s.Driver))
	fmt.Fprintf(&b, "runroot = \"/run/containers/storage\"\n")
	fmt.Fprintf(&b, "graphroot = %s\n", strconv.Quote(path.Join(Mountpoint, "storage")))
	fmt.Fprintf(&b, "rootless_storage_path = %s\n", strconv.Quote(RootlessStores+"/$UID/storage"))
	return []byte(b.String())
}
