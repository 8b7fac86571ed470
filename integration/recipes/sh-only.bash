# A shell without bash, coreutils and find, and nothing else: no git, no package manager.
from=bookworm

setup() {
	mkdir -m 755 "$work/keep"
	# The packages' files by their real places: /bin and /lib are links, which come along as such.
	# shellcheck disable=SC2016
	chroot "$root" bash -c '
		dpkg -L "$@" | grep -v ^/usr/share/ | while read -r path; do
			[[ ! -e $path ]] || echo "$(realpath "${path%/*}/")/${path##*/}"
		done' - base-files base-passwd dash coreutils findutils libc6 libselinux1 libpcre2-8-0 \
		libacl1 libattr1 libgmp10 | sed 's|^/*|./|' | sort -u >"$work/files"
	printf '%s\n' ./bin ./sbin ./lib ./lib64 ./etc/passwd ./etc/group >>"$work/files"
	tar -C "$root" --no-recursion -c -T "$work/files" | tar -C "$work/keep" -x
	rm -rf "$root"
	mv "$work/keep" "$root"
}
