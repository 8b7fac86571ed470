// Package storage is about the job's own storage volume: where container tools
// in the job keep images, layers and temporary files, and what makes them use
// the storage driver that works there.
package storage

// Mountpoint is where the job's storage volume is mounted. The default stores of
// Buildah, Podman, Skopeo and CRI-O are below it; it is not one of the folders
// that Sysbox itself provides for.
const Mountpoint = "/var/lib/containers"

// RootlessStores is where the stores of users other than root lie, one folder
// per user number: on the volume, like root's.
const RootlessStores = Mountpoint + "/users"

// Settings are what the tools in a job are told.
type Settings struct {
	Driver    string // containers/storage driver
	TMPDIR    string // container path; a folder of mode 1777
	Isolation string // of Buildah's RUN steps; empty leaves it to Buildah
}

// Enforced are the variables that a job cannot set otherwise. An empty
// STORAGE_OPTS clears the options of the image's own configuration, among them
// mount_program and mountopt, which vfs refuses. CONTAINERS_STORAGE_CONF is
// read instead of a user's own storage.conf (containers-storage.conf(5)).
func (s Settings) Enforced() map[string]string {
	return map[string]string{"STORAGE_DRIVER": s.Driver, "STORAGE_OPTS": "", "CONTAINERS_STORAGE_CONF": SystemConfig}
}

// Environment are the variables of the job's container and of its services.
func (s Settings) Environment() []string {
	env := []string{"CONTAINERS_STORAGE_CONF=" + SystemConfig, "STORAGE_DRIVER=" + s.Driver, "STORAGE_OPTS=", "TMPDIR=" + s.TMPDIR}
	if s.Isolation != "" {
		env = append(env, "BUILDAH_ISOLATION="+s.Isolation)
	}
	return env
}
