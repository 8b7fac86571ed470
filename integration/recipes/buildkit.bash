# BuildKit with Debian's runc; and a user of its own with rootlesskit, and with the ranges of user IDs that
# moby/buildkit:rootless has. busybox is static: what builds in a test start from, as no registry is
# needed for it.
from=bookworm
packages=(runc iptables uidmap busybox-static)
changes=('CMD ["bash"]')

setup() {
	local folder
	folder=$("$repo/scripts/buildkit.sh") # v0.25.2, rootlesskit v2.3.6
	cp "$folder"/* "$root/usr/local/bin/"
	chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash user
	install -d -o 1000 -g 1000 -m 700 "$root/run/user/1000"
	install -d -o 1000 -g 1000 "$root/home/user/.local" "$root/home/user/.local/tmp"
	echo user:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
}
