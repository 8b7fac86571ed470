# As buildah, with the Buildah 1.39 and Podman 5.4 of Debian 13, whose netavark wants nft. busybox is
# static: what builds in a test start from, as no registry is needed for it.
from=trixie
packages=(buildah podman crun uidmap fuse-overlayfs netavark aardvark-dns nftables busybox-static)

setup() {
	chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash builder
	# Within the 65536 IDs that a container has under Sysbox; useradd's own choice is beyond them.
	printf 'builder:1:999\nbuilder:1001:64535\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
}
