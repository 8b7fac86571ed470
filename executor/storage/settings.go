// Package storage makes the job's storage volume, where Buildah, Podman and similar programs
// keep images, layers and temporary files. It also makes them use a storage driver that works
// there.
package storage

import "strings"

// Mountpoint is where the job's storage volume is mounted. The default stores of Buildah,
// Podman, Skopeo and CRI-O are below it. It is not one of the folders that Sysbox mounts by
// default.
const Mountpoint = "/var/lib/containers"

// ShortMountpoint is a second mount of the same volume. The default TMPDIR is below it: Podman
// before 5.1 refuses a run root of more than 50 characters. A bind mount and not a symbolic link:
// programs that resolve links would see two names of TMPDIR, and an image may have a file there.
const ShortMountpoint = "/gsx"

// OnVolume reports whether a path of the container is below one of the volume's mount points.
func OnVolume(p string) bool {
	return strings.HasPrefix(p, Mountpoint+"/") || strings.HasPrefix(p, ShortMountpoint+"/")
}

// RootlessStores has the stores of users other than root, one folder per user ID. It is on the
// volume, as root's store is.
const RootlessStores = Mountpoint + "/users"

// Settings are the storage settings of Buildah, Podman and similar programs in a job.
type Settings struct {
	Driver string `json:"driver"` // containers/storage driver
	TMPDIR string `json:"tmpdir"` // container path; a folder of mode 1777
	// JobsTMPDIR is true if the job chose TMPDIR.
	JobsTMPDIR bool   `json:"jobs_tmpdir,omitempty"`
	Isolation  string `json:"isolation,omitempty"` // of Buildah's RUN steps; empty leaves it to Buildah
	// TryIsolation replaces Isolation in the job's scripts if a trial in the job container succeeds; empty asks for none.
	// Other processes keep Isolation: services, and those without the variables of the scripts, of any user.
	TryIsolation string `json:"try_isolation,omitempty"`
	// ImageStore is an additional store in the container with images that the user can read;
	// empty if there is none.
	ImageStore string `json:"image_store,omitempty"`
}

// Settle completes the settings once it is known whether native overlay is used, and which
// user the programs run as.
func (s Settings) Settle(overlay bool, uid int, stores Stores) Settings {
	if overlay {
		s.Driver = "overlay"
	}
	s.ImageStore = stores.For(s.Driver, uid)
	return s
}

// Enforced are the variables that a job cannot override. STORAGE_OPTS, even if empty, clears
// the options of the image's configuration, among them mount_program and mountopt, which vfs
// refuses. CONTAINERS_STORAGE_CONF replaces a user's storage.conf
// (containers-storage.conf(5)).
func (s Settings) Enforced() map[string]string {
	return map[string]string{"STORAGE_DRIVER": s.Driver, "STORAGE_OPTS": s.options(), "CONTAINERS_STORAGE_CONF": SystemConfig}
}

// options replaces additionalimagestores, because STORAGE_OPTS overrides the file
// (containers/storage, types/options.go, ReloadConfigurationFile).
func (s Settings) options() string {
	if s.ImageStore == "" {
		return ""
	}
	return s.Driver + ".imagestore=" + s.ImageStore
}

// forRoot are the settings of root's programs if they do not have the variables of the job's
// scripts, and forOthers those of other users' programs. A program that no longer finds a
// store from which it has built reports its images as corrupt. It cannot read another user's
// store.
func (s Settings) forRoot() Settings {
	if s.ImageStore != ImageStore(s.Driver, 0) {
		s.ImageStore = ""
	}
	return s
}

func (s Settings) forOthers() Settings {
	if s.ImageStore == ImageStore(s.Driver, 0) {
		s.ImageStore = ""
	}
	return s
}

// Fallback are the variables that Buildah and Podman use if they are not set. Their image
// store is for users other than root: root's programs read SystemConfig first.
func (s Settings) Fallback() []string { return s.forOthers().Environment() }

// Environment are the storage variables of a container.
func (s Settings) Environment() []string {
	env := []string{"CONTAINERS_STORAGE_CONF=" + SystemConfig, "STORAGE_DRIVER=" + s.Driver, "STORAGE_OPTS=" + s.options(), "TMPDIR=" + s.TMPDIR}
	if s.Isolation != "" {
		env = append(env, "BUILDAH_ISOLATION="+s.Isolation)
	}
	return env
}
