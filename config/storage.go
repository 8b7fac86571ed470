package config

// Storage is where container tools inside the job keep images and layers.
type Storage struct {
	// Driver is the containers/storage driver that is enforced in the job.
	Driver string `toml:"driver"`
	// TmpDir is the job's TMPDIR, an absolute path in the job container.
	TmpDir string `toml:"tmpdir"`
	// Isolation is the job's BUILDAH_ISOLATION; "" leaves it unset.
	Isolation string `toml:"isolation"`
}

func defaultStorage() Storage {
	return Storage{
		Driver:    "vfs",
		TmpDir:    "/var/lib/containers/tmp",
		Isolation: "chroot",
	}
}

func (s *Storage) check(k *checker) {
	switch s.Driver {
	case "vfs":
	case "overlay":
		k.bad("storage.driver", `"overlay" fails when it is stacked on the container's own overlay; write "vfs", and put the engine's volumes on XFS with reflink=1 or on btrfs to make it fast`)
	default:
		k.bad("storage.driver", `%q is not a driver that works in a job; write "vfs"`, s.Driver)
	}
	if k.absolute("storage.tmpdir", s.TmpDir, "/var/lib/containers/tmp") && (overlap(s.TmpDir, "/proc") || overlap(s.TmpDir, "/sys")) {
		k.bad("storage.tmpdir", `%q belongs to the kernel; write for example "/var/lib/containers/tmp"`, s.TmpDir)
	}
	k.oneOf("storage.isolation", s.Isolation, []string{"chroot", "oci", "rootless", ""})
}
