package config

import "testing"

func TestStorage(t *testing.T) {
	for _, isolation := range []string{"auto", "chroot", "oci", "rootless", ""} {
		wantErrors(t, `storage = { driver = "vfs", tmpdir = "/builds/tmp", isolation = "`+isolation+`" }`)
	}
	for _, backend := range []string{"auto", "xfs-loop", "volume", "tmpfs"} {
		wantErrors(t, `storage = { backend = "`+backend+`", size = "512MiB", min_free = 0, overcommit = 1.0, dir = "/srv/volumes" }`)
	}
	wantErrors(t, `storage = { driver = "overlay", driver_conflict = "fail" }`)
	wantErrors(t, `
[storage]
driver = "btrfs"
tmpdir = "tmp"
isolation = "none"
backend = "zfs"
dir = "volumes"
size = "unlimited"
min_free = "unlimited"
overcommit = 0.5
driver_conflict = "ask"`,
		`c.toml:3: storage.driver: "btrfs" is not possible; write one of "vfs", "overlay"`,
		`c.toml:4: storage.tmpdir: "tmp" is not an absolute path; write for example "/gsx/tmp"`,
		`c.toml:5: storage.isolation: "none" is not possible; write one of "auto", "chroot", "oci", "rootless", ""`,
		`c.toml:6: storage.backend: "zfs" is not possible; write one of "auto", "xfs-loop", "volume", "ephemeral", "emptydir", "tmpfs"`,
		`c.toml:7: storage.dir: "volumes" is not an absolute path; write for example "/var/lib/gitlab-sysbox-executor/volumes"`,
		`c.toml:8: storage.size: unlimited is less than a storage volume needs, 512MiB; write for example "20GiB"`,
		`c.toml:9: storage.min_free: "unlimited" is not allowed here; write for example "2GiB", or 0`,
		`c.toml:10: storage.overcommit: 0.5 is not a factor from 1 to 1000; write for example 2.0`,
		`c.toml:11: storage.driver_conflict: "ask" is not possible; write one of "override", "fail"`)
	wantErrors(t, `storage = { cache_mounts = "project", cache_mounts_size = 0 }`)
	wantErrors(t, "storage.cache_mounts = \"all\"\nstorage.cache_mounts_size = \"unlimited\"",
		`c.toml:1: storage.cache_mounts: "all" is not possible; write one of "job", "project"`,
		`c.toml:2: storage.cache_mounts_size: "unlimited" is not allowed here; write for example "10GiB", or 0`)
	wantErrors(t, `storage = { keep = "project", keep_size = "4GiB" }`)
	wantErrors(t, "storage.keep = \"job\"\nstorage.keep_size = \"unlimited\"",
		`c.toml:1: storage.keep: "job" is not possible; write one of "never", "project"`,
		`c.toml:2: storage.keep_size: "unlimited" is not allowed here; write for example "10GiB", or 0`)
	wantErrors(t, "storage.backend = \"volume\"\nstorage.keep = \"project\"",
		`c.toml:2: storage.keep: "project" needs a storage volume with an image file; write storage.backend = "xfs-loop" or "auto" instead of "volume"`)
	wantErrors(t, "storage.size = \"100MiB\"\nstorage.tmpdir = \"/proc/self\"\nstorage.overcommit = nan",
		`c.toml:1: storage.size: 100MiB is less than a storage volume needs, 512MiB; write for example "20GiB"`,
		`c.toml:2: storage.tmpdir: "/proc/self" belongs to the kernel; write for example "/gsx/tmp"`,
		`c.toml:3: storage.overcommit: NaN is not a factor from 1 to 1000; write for example 2.0`)
}
