#!/bin/bash
# Runs a command where control groups are version 2:
#
#   cgroup2.sh COMMAND...
#
# On a machine with version 1 it unmounts the hierarchies: the kernel then gives their controllers to version 2. The
# command has a mount namespace of its own. Afterwards version 1 is mounted again. Where something uses a hierarchy,
# the command runs in a virtual machine instead (uml.sh).
set -euo pipefail

die() {
	echo "cgroup2.sh: $*" >&2
	exit 1
}

(($#)) || die "usage: cgroup2.sh COMMAND..."
((EUID == 0)) || die "needs root"
if [[ $(stat --file-system --format %T /sys/fs/cgroup) == cgroup2fs ]]; then
	exec "$@"
fi

# A mount of version 1, as: TARGET OPTIONS
mapfile -t old < <(findmnt --noheadings --raw --types cgroup --output TARGET,FS-OPTIONS)
unmounted=()

# used reports whether a hierarchy has groups, apart from empty ones that an engine left.
used() {
	find "$1/docker" -depth -type d -exec rmdir {} + 2>/dev/null || true
	[[ -n $(find "$1" -mindepth 1 -maxdepth 1 -type d -print -quit) ]]
}

restore() {
	local target options mount i
	mount -t cgroup2 none "$new"
	# Version 1 gets a controller back when no group of version 2 has it any more.
	find "$new/docker" -depth -type d -exec rmdir {} + 2>/dev/null || true
	for controller in $(cat "$new/cgroup.subtree_control"); do
		echo "-$controller" >"$new/cgroup.subtree_control" || true
	done
	umount "$new" && rmdir "$new"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	for mount in "${unmounted[@]}"; do
		read -r target options <<<"$mount"
		[[ $options != *name=* ]] || options=none,$options
		for ((i = 0; i < 30; i++)); do
			! mount -t cgroup -o "$options" none "$target" 2>/dev/null || continue 2
			sleep 1
		done
		echo "cgroup2.sh: cannot mount $target again" >&2
	done
}

# elsewhere runs the command in a virtual machine.
elsewhere() {
	echo "cgroup2.sh: $1, so the command runs in a virtual machine"
	exec "$(dirname "${BASH_SOURCE[0]}")/uml.sh" "${command[@]}"
}

command=("$@")
for mount in "${old[@]}"; do
	read -r target options <<<"$mount"
	! used "$target" || elsewhere "$target has groups of another program"
done
new=$(mktemp --directory --tmpdir cgroup2.XXXXXX)
trap restore EXIT
for mount in "${old[@]}"; do
	read -r target options <<<"$mount"
	# A Go program keeps the files of its CPU limit open.
	for ((i = 0; i < 600; i++)); do
		! umount "$target" 2>/dev/null || break
		sleep 0.1
	done
	if mountpoint --quiet "$target"; then
		trap - EXIT
		restore
		elsewhere "another program uses $target"
	fi
	unmounted+=("$mount")
done
# A hierarchy ends when the last of its removed groups has, which cached pages keep.
echo 3 >/proc/sys/vm/drop_caches
sleep 5
# shellcheck disable=SC2016 # the inner shell expands them
unshare --mount bash -c '
	set -e
	umount --recursive /sys/fs/cgroup 2>/dev/null || umount --recursive --lazy /sys/fs/cgroup
	mount -t cgroup2 none /sys/fs/cgroup
	echo "cgroup v2: controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
	exec "$@"' bash "$@"
