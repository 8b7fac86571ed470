package config

import (
	"cmp"
	"path"

	"github.com/docker/go-units"
)

// Storage configures where container tools inside the job keep images and layers.
type Storage struct {
	// Backend is the kind of the job's storage volume.
	Backend string `toml:"backend"`
	// Class is the storage class of the backend ephemeral.
	Class string `toml:"class"`
	// Dir is an absolute path: the host's folder for file system images; "" is a folder below
	// StateDir.
	Dir string `toml:"dir"`
	// Size limits each job's storage volume, in bytes.
	Size Size `toml:"size"`
	// MinFree is the space that has to stay free on the host, in bytes.
	MinFree Size `toml:"min_free"`
	// Overcommit divides the space that running jobs may still claim.
	Overcommit float64 `toml:"overcommit"`
	// Driver is the containers/storage driver that is enforced in the job.
	Driver string `toml:"driver"`
	// DriverConflict decides what happens to a job whose variables ask for another driver.
	DriverConflict string `toml:"driver_conflict"`
	// TmpDir is the job's TMPDIR, an absolute path in the job container.
	TmpDir string `toml:"tmpdir"`
	// Isolation is the job's BUILDAH_ISOLATION; "" leaves it unset. "auto" is "rootless" if a trial in the job's
	// container succeeds, otherwise "chroot".
	Isolation string `toml:"isolation"`
	// CacheMounts decides which jobs share the cache mounts of image builds.
	CacheMounts string `toml:"cache_mounts"`
	// CacheMountsSize limits what is kept of them for each project, in bytes; 0 sets no
	// limit.
	CacheMountsSize Size `toml:"cache_mounts_size"`
	// Keep decides which jobs get a storage volume that an earlier job left.
	Keep string `toml:"keep"`
	// KeepSize limits each kept storage volume, in bytes; 0 is half of Size.
	KeepSize Size `toml:"keep_size"`
}

func defaultStorage() Storage {
	return Storage{
		Backend:        "auto",
		Size:           20 * units.GiB,
		MinFree:        2 * units.GiB,
		Overcommit:     10,
		Driver:         "vfs",
		DriverConflict: "override",
		TmpDir:         "/gsx/tmp",
		Isolation:      "auto",

		CacheMounts:     "job",
		CacheMountsSize: 10 * units.GiB,
		Keep:            "never",
	}
}

// leastStorage is the minimum of an XFS file system (300 MiB for mkfs.xfs since 5.19) and some
// space for a job.
const leastStorage Size = 512 * units.MiB

// mostOvercommit only excludes values that cannot be meant.
const mostOvercommit = 1000

func (s *Storage) check(k *checker) {
	k.oneOf("storage.backend", s.Backend, []string{"auto", "xfs-loop", "volume", "ephemeral", "emptydir", "tmpfs"})
	if s.Dir != "" {
		k.absolute("storage.dir", s.Dir, "/var/lib/gitlab-sysbox-executor/volumes")
	}
	if s.Size < leastStorage {
		k.bad("storage.size", `%s is less than a storage volume needs, %s; write for example "20GiB"`, s.Size, leastStorage)
	}
	k.limited("storage.min_free", s.MinFree, "2GiB")
	possible := s.Overcommit >= 1 && s.Overcommit <= mostOvercommit // nan is neither
	if !possible {
		k.bad("storage.overcommit", "%v is not a factor from 1 to %d; write for example 2.0", s.Overcommit, mostOvercommit)
	}
	k.oneOf("storage.driver", s.Driver, []string{"vfs", "overlay"})
	k.oneOf("storage.driver_conflict", s.DriverConflict, []string{"override", "fail"})
	if k.absolute("storage.tmpdir", s.TmpDir, "/gsx/tmp") && (Overlap(s.TmpDir, "/proc") || Overlap(s.TmpDir, "/sys")) {
		k.bad("storage.tmpdir", `%q belongs to the kernel; write for example "/gsx/tmp"`, s.TmpDir)
	}
	k.oneOf("storage.isolation", s.Isolation, []string{"auto", "chroot", "oci", "rootless", ""})
	k.oneOf("storage.cache_mounts", s.CacheMounts, []string{"job", "project"})
	k.limited("storage.cache_mounts_size", s.CacheMountsSize, "10GiB")
	k.oneOf("storage.keep", s.Keep, []string{"never", "project"})
	if s.Keep == "project" && k.sound("storage.keep", "storage.backend") && s.Backend != "auto" && s.Backend != "xfs-loop" {
		k.bad("storage.keep", `"project" needs a storage volume with an image file; write storage.backend = "xfs-loop" or "auto" instead of %q`, s.Backend)
	}
	k.limited("storage.keep_size", s.KeepSize, "10GiB")
}

// KeepStorage reports whether storage volumes are kept for the next job of the project.
func (c *Config) KeepStorage() bool { return c.Storage.Keep == "project" }

// MostKept is the largest size of a storage volume that is kept, in bytes.
func (s *Storage) MostKept() Size {
	if s.KeepSize == 0 {
		return s.Size / 2
	}
	return s.KeepSize
}

// VolumeFolder is the host's folder for file system images.
func (c *Config) VolumeFolder() string {
	return cmp.Or(c.Storage.Dir, path.Join(c.StateDir, "volumes"))
}

// KeepCacheMounts reports whether the jobs of a project share the cache mounts of image builds.
func (c *Config) KeepCacheMounts() bool { return c.Storage.CacheMounts == "project" }
