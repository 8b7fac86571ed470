# Buildah 1.28 and Podman 4.3, for root and for a user of its own. busybox is static: what builds in
# a test start from, as no registry is needed for it.
from=bookworm
packages=(buildah podman crun uidmap fuse-overlayfs netavark aardvark-dns iptables busybox-static)

setup() {
	chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash builder
	# Within the 65536 IDs that a container has under Sysbox; useradd's own choice is beyond them.
	printf 'builder:1:999\nbuilder:1001:64535\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
}
