# BuildKit with Debian's runc. busybox is static: what builds in a test start from, as no registry is
# needed for it.
from=bookworm
packages=(runc iptables busybox-static)

setup() {
	local folder
	folder=$("$repo/scripts/buildkit.sh") # v0.25.2
	cp "$folder/buildkitd" "$folder/buildctl" "$root/usr/local/bin/"
}
