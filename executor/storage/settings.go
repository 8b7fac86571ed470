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
	Driver string `json:"driver"` // containers/storage driver
	TMPDIR string `json:"tmpdir"` // container path; a folder of mode 1777
	// JobsTMPDIR tells that the job chose TMPDIR.
	JobsTMPDIR bool   `json:"jobs_tmpdir,omitempty"`
	Isolation  string `json:"isolation,omitempty"` // of Buildah's RUN steps; empty leaves it to Buildah
	// ImageStore is a further store, in the container, whose images the user can
	// read; empty without one.
	ImageStore string `json:"image_store,omitempty"`
}

// Settle are the settings once it is known whether native overlay is to be used and
// as whom the tools run.
func (s Settings) Settle(overlay bool, uid int, stores Stores) Settings {
	if overlay {
		s.Driver = "overlay"
	}
	s.ImageStore = stores.For(s.Driver, uid)
	return s
}

// Enforced are the variables that a job cannot set otherwise. STORAGE_OPTS, also
// an empty one, clears the options of the image's own configuration, among them
// mount_program and mountopt, which vfs refuses. CONTAINERS_STORAGE_CONF is
// read instead of a user's own storage.conf (containers-storage.conf(5)).
func (s Settings) Enforced() map[string]string {
	return map[string]string{"STORAGE_DRIVER": s.Driver, "STORAGE_OPTS": s.options(), "CONTAINERS_STORAGE_CONF": SystemConfig}
}

// options are what tools make of additionalimagestores (containers/storage,
// types/options.go, ReloadConfigurationFile): STORAGE_OPTS wins over the file.
func (s Settings) options() string {
	if s.ImageStore == "" {
		return ""
	}
	return s.Driver + ".imagestore=" + s.ImageStore
}

// forRoot are the settings of root's tools that lack the variables of the job's
// scripts, forOthers those of other users' tools. Who lacks a store from which it
// has built before takes its images for corrupt; who has another's cannot read it.
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

// Fallback are the variables of Buildah and Podman where they lack their own. It
// is users other than root whom they tell where images are: root's tools have
// looked into SystemConfig before.
func (s Settings) Fallback() []string { return s.forOthers().Environment() }

// Environment are the variables of a container.
func (s Settings) Environment() []string {
	env := []string{"CONTAINERS_STORAGE_CONF=" + SystemConfig, "STORAGE_DRIVER=" + s.Driver, "STORAGE_OPTS=" + s.options(), "TMPDIR=" + s.TMPDIR}
	if s.Isolation != "" {
		env = append(env, "BUILDAH_ISOLATION="+s.Isolation)
	}
	return env
}
