#!/bin/bash
# Runs a command in a virtual machine where control groups are version 2:
#
#   uml.sh COMMAND...
#
# The machine is User Mode Linux, a kernel that runs as a process: it needs no KVM. It sees the files of this machine
# as they are now. What it writes goes into an image file, which is removed in the end. It has no network but
# loopback, the CPUs in GSX_UML_CPUS (2) and the memory in GSX_UML_MEMORY (6G). The output and the exit code are the
# command's. A start of a program takes several times as long as outside.
#
# The kernel is built the first time, from Debian's newest linux-source (older ones than 6.19 have one CPU) and
# scripts/uml/config: 10 to 20 minutes of processor time. It stays in ${GSX_CACHE_DIR:-.cache}.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${GSX_CACHE_DIR:-$repo/.cache}
config=$repo/scripts/uml/config
kernel=$cache/uml-$(sha256sum "$config" | cut -c1-16)

die() {
	echo "uml.sh: $*" >&2
	exit 1
}

# mirror is the first Debian mirror that this machine's apt knows; a mirror has all releases.
mirror() {
	local ask=(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" "Label: Debian")
	[[ -n $("${ask[@]}") ]] || apt-get update -qq >&2
	"${ask[@]}" | sed -n 1p
}

build() {
	local part=$kernel.part apt source
	"$repo/scripts/packages.sh" uml >&2
	echo "uml.sh: building the kernel" >&2
	rm -rf "$part"
	mkdir -p "$part"/{lists,cache}/partial
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie-backports main" >"$part/sources.list"
	apt=(-o "Dir::Etc::SourceList=$part/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$part/lists"
		-o "Dir::Cache=$part/cache" -o APT::Sandbox::User=root)
	if ! (
		cd "$part" &&
			apt-get "${apt[@]}" -qq update &&
			source=$(apt-cache "${apt[@]}" show linux-source | awk '/^Depends:/ && !n++ {print $2}') &&
			apt-get "${apt[@]}" -qq download "$source" &&
			dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | tar -xJ &&
			cd "$source" &&
			cp "$config" .config &&
			make ARCH=um olddefconfig &&
			! grep '=y$' "$config" | grep -vxFf .config && # what this kernel does not know
			make ARCH=um -j"$(nproc)" linux
	) >"$part/log" 2>&1; then
		tail -n 30 "$part/log" >&2
		die "the kernel does not build; the end of $part/log is above"
	fi
	mv "$part"/linux-source-*/linux "$kernel.new"
	rm -rf "$part"
	mv "$kernel.new" "$kernel"
}

(($#)) || die "usage: uml.sh COMMAND..."
((EUID == 0)) || die "needs root"
mkdir -p "$cache"
exec 9>"$cache/uml.lock"
flock 9
[[ -x $kernel ]] || build
exec 9>&-

work=$(mktemp --directory --tmpdir=/var/tmp uml.XXXXXX)
machine=
stop() {
	[[ -z $machine ]] || kill -KILL "$machine" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
trap stop EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/run"
truncate --size=60G "$work/disk"
mkfs.ext4 -q -E nodiscard "$work/disk"

# The command gets this folder and this environment.
{
	export -p
	printf 'cd %q\nexec' "$PWD"
	printf ' %q' "$@"
} >"$work/run/command"
printf 'kept=(%q %q)\n' "$(realpath "$cache")" "$repo" >"$work/run/settings"
cat >"$work/run/init" <<'INIT'
#!/bin/bash
# The first process of the machine. Its root is the host's, read-only.
set -euo pipefail
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
run=$(dirname "$0")
. "$run/settings" # sets kept: folders that must be seen even below /tmp

end() {
	sync
	echo o >/proc/sysrq-trigger
	sleep 60
}
trap end EXIT

if [[ $run != /media ]]; then
	mount -t proc proc /proc
	# The image does not outlive this machine: no write needs to wait for a disk.
	mount -t ext4 -o discard,barrier=0 /dev/ubda /mnt
	mkdir -p /mnt/{upper,work,root,old}
	mkdir -m 1777 /mnt/tmp /mnt/var-tmp
	mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
	mount -t hostfs -o "$run" none /mnt/root/media # it can be written
	mount --bind /mnt /mnt/root/mnt
	umount /proc
	cd /mnt/root
	# A process in a chroot could not make user namespaces.
	pivot_root . mnt/old
	exec chroot . /media/init
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t devtmpfs dev /dev
mkdir -p /dev/{pts,shm,mqueue}
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
ip link set lo up

# Engines need a file system below them that is no overlay.
for i in "${!kept[@]}"; do
	mkdir "/mnt/kept-$i"
	mount --bind "${kept[i]}" "/mnt/kept-$i"
done
mount --bind /mnt/tmp /tmp
mount --bind /mnt/var-tmp /var/tmp
for i in "${!kept[@]}"; do
	mkdir -p "${kept[i]}"
	mount --bind "/mnt/kept-$i" "${kept[i]}"
done
umount --recursive --lazy /mnt

exec >/dev/tty1 2>&1
stty --file=/dev/tty1 -opost # else each line ends with a carriage return too
echo "cgroup v2: Linux $(uname -r) in User Mode Linux, controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
code=0
bash /media/command || code=$?
echo "$code" >/media/code
INIT
chmod +x "$work/run/init"

"$kernel" mem="${GSX_UML_MEMORY:-6G}" ncpus="${GSX_UML_CPUS:-2}" seccomp=on root=none rootfstype=hostfs ro \
	init="$work/run/init" ubd0="$work/disk" uml_dir="$work" con=null con0=null,fd:3 con1=null,fd:1 quiet \
	</dev/null 3>"$work/console" &
machine=$!
wait "$machine" || true
machine=
if [[ ! -s $work/run/code ]]; then
	tail -n 30 "$work/console" >&2
	die "the machine ended before the command did; the end of its console is above"
fi
exit "$(cat "$work/run/code")"
