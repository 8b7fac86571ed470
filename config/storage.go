package config

import "github.com/docker/go-units"

// Storage is where container tools inside the job keep images and layers.
type Storage struct {
	// Backend is what the job's storage volume consists of.
	Backend string `toml:"backend"`
	// Dir is the host's folder for images of file systems, an absolute path; ""
	// is a folder below StateDir.
	Dir string `toml:"dir"`
	// Size limits each job's storage volume, in bytes.
	Size Size `toml:"size"`
	// MinFree is what stays free on the host, in bytes.
	MinFree Size `toml:"min_free"`
	// Overcommit divides what running jobs may still claim.
	Overcommit float64 `toml:"overcommit"`
	// Driver is the containers/storage driver that is enforced in the job.
	Driver string `toml:"driver"`
	// DriverConflict is what becomes of a job whose variables want another driver.
	DriverConflict string `toml:"driver_conflict"`
	// TmpDir is the job's TMPDIR, an absolute path in the job container.
	TmpDir string `toml:"tmpdir"`
	// Isolation is the job's BUILDAH_ISOLATION; "" leaves it unset.
	Isolation string `toml:"isolation"`
	// CacheMounts is for whom cache mounts of image builds are kept.
	CacheMounts string `toml:"cache_mounts"`
	// CacheMountsSize is how much of them is kept for each project, in bytes; any
	// amount when it is 0.
	CacheMountsSize Size `toml:"cache_mounts_size"`
}

func defaultStorage() Storage {
	return Storage{
		Backend:        "auto",
		Size:           20 * units.GiB,
		MinFree:        2 * units.GiB,
		Overcommit:     10,
		Driver:         "vfs",
		DriverConflict: "override",
		TmpDir:         "/var/lib/containers/tmp",
		Isolation:      "chroot",

		CacheMounts:     "job",
		CacheMountsSize: 10 * units.GiB,
	}
}

// leastStorage is what an XFS file system needs at least (mkfs.xfs since 5.19:
// 300 MiB), with some room for a job in it.
const leastStorage Size = 512 * units.MiB

// mostOvercommit is beyond any sense.
const mostOvercommit = 1000

func (s *Storage) check(k *checker) {
	k.oneOf("storage.backend", s.Backend, []string{"auto", "xfs-loop", "volume", "tmpfs"})
	if s.Dir != "" {
		k.absolute("storage.dir", s.Dir, "/var/lib/gitlab-sysbox-executor/volumes")
	}
	if s.Size < leastStorage {
		k.bad("storage.size", `%s is less than a storage volume needs, %s; write for example "20GiB"`, s.Size, leastStorage)
	}
	k.limited("storage.min_free", s.MinFree, "2GiB")
	possible := s.Overcommit >= 1 && s.Overcommit <= mostOvercommit // TOML has nan: never so
	if !possible {
		k.bad("storage.overcommit", "%v is not a factor from 1 to %d; write for example 2.0", s.Overcommit, mostOvercommit)
	}
	k.oneOf("storage.driver", s.Driver, []string{"vfs", "overlay"})
	k.oneOf("storage.driver_conflict", s.DriverConflict, []string{"override", "fail"})
	if k.absolute("storage.tmpdir", s.TmpDir, "/var/lib/containers/tmp") && (Overlap(s.TmpDir, "/proc") || Overlap(s.TmpDir, "/sys")) {
		k.bad("storage.tmpdir", `%q belongs to the kernel; write for example "/var/lib/containers/tmp"`, s.TmpDir)
	}
	k.oneOf("storage.isolation", s.Isolation, []string{"chroot", "oci", "rootless", ""})
	k.oneOf("storage.cache_mounts", s.CacheMounts, []string{"job", "project"})
	k.limited("storage.cache_mounts_size", s.CacheMountsSize, "10GiB")
}

// KeepCacheMounts tells whether cache mounts of image builds are kept from one job of a
// project to the next.
func (c *Config) KeepCacheMounts() bool { return c.Storage.CacheMounts == "project" }
