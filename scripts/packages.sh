#!/bin/bash
# Installs the Debian packages that the private engine and the test images need, if they are missing.
# A second run takes no time and contacts no mirror. The argument "race" adds what tests with the race
# detector need, "kubernetes" what the cluster of scripts/kubernetes.sh needs, "uml" what the kernel of
# scripts/uml.sh is built with.
set -euo pipefail

# The PATH of an unprivileged user on Debian lacks the sbin folders.
PATH="$PATH:/usr/sbin:/sbin"

missing=()

# want COMMAND-OR-FILE PACKAGE: a command counts from any source, so that a machine keeps another build
# of Docker.
want() {
	case $1 in
	/*) [[ -e $1 ]] || missing+=("$2") ;;
	*) command -v "$1" >/dev/null || missing+=("$2") ;;
	esac
}

# Debian 13 split the client from docker.io; in Debian 12 no package docker-cli exists.
# shellcheck source=/dev/null
debian=$(. /etc/os-release && echo "${VERSION_ID:-0}")
client=docker.io
if ((${debian%%.*} >= 13)); then client=docker-cli; fi

want dockerd docker.io
want docker "$client"
want containerd containerd
want runc runc
want debootstrap debootstrap
want /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
want ip iproute2
want iptables iptables
want mkfs.xfs xfsprogs
want mkfs.ext4 e2fsprogs
want gpgv gpgv
want git git
# Debian 13 has the static emulators in qemu-user.
emulators=qemu-user-static
if ((${debian%%.*} >= 13)); then emulators=qemu-user; fi
[[ -e /usr/bin/qemu-aarch64-static || -e /usr/bin/qemu-aarch64 ]] || missing+=("$emulators")
want curl curl
want ps procps
want flock util-linux
want usermod passwd
want /etc/ssl/certs/ca-certificates.crt ca-certificates
if [[ " $* " == *" race "* ]]; then # Go's race detector links with the C library
	want gcc gcc
	want /usr/include/stdlib.h libc6-dev
fi
if [[ " $* " == *" kubernetes "* ]]; then # runc links with libseccomp
	want /usr/include/seccomp.h libseccomp-dev
	want pkg-config pkg-config
	want openssl openssl
fi

if [[ " $* " == *" uml "* ]]; then
	want gcc gcc
	want /usr/include/stdlib.h libc6-dev
	want make make
	want flex flex
	want bison bison
	want bc bc
	want xz xz-utils
fi

((${#missing[@]})) || exit 0

if ((EUID != 0)); then
	echo "packages.sh: missing ${missing[*]}: run it as root" >&2
	exit 1
fi
echo "packages.sh: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Recommended packages, such as AppArmor tools, are not needed.
apt-get install -y -qq --no-install-recommends "${missing[@]}"
