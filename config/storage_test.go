package config

import "testing"

func TestStorage(t *testing.T) {
	for _, isolation := range []string{"chroot", "oci", "rootless", ""} {
		wantErrors(t, `storage = { driver = "vfs", tmpdir = "/builds/tmp", isolation = "`+isolation+`" }`)
	}
	wantErrors(t, `
[storage]
driver = "overlay"
tmpdir = "tmp"
isolation = "none"`,
		`c.toml:3: storage.driver: "overlay" fails when it is stacked on the container's own overlay; write "vfs", and put the engine's volumes on XFS with reflink=1 or on btrfs to make it fast`,
		`c.toml:4: storage.tmpdir: "tmp" is not an absolute path; write for example "/var/lib/containers/tmp"`,
		`c.toml:5: storage.isolation: "none" is not possible; write one of "chroot", "oci", "rootless", ""`)
	wantErrors(t, "storage.driver = \"btrfs\"\nstorage.tmpdir = \"/proc/self\"",
		`c.toml:1: storage.driver: "btrfs" is not a driver that works in a job; write "vfs"`,
		`c.toml:2: storage.tmpdir: "/proc/self" belongs to the kernel; write for example "/var/lib/containers/tmp"`)
}
