#!/bin/bash
# Installs, from Debian's own packages, what the private engine and the test images need.
# Only what is missing is installed, so a second run takes no time and asks no mirror. With the word
# "race" it is also what tests with the race detector need.
set -euo pipefail

# Debian leaves the sbin folders out of a plain user's PATH.
PATH="$PATH:/usr/sbin:/sbin"

missing=()

# want COMMAND-OR-FILE PACKAGE: a command counts from wherever it comes, so that a machine with
# another build of Docker keeps it.
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
want curl curl
want ps procps
want flock util-linux
want usermod passwd
want /etc/ssl/certs/ca-certificates.crt ca-certificates
if [[ ${1:-} == race ]]; then # Go's race detector links with the C library
	want gcc gcc
	want /usr/include/stdlib.h libc6-dev
fi

((${#missing[@]})) || exit 0

if ((EUID != 0)); then
	echo "packages.sh: missing ${missing[*]}: run it as root" >&2
	exit 1
fi
echo "packages.sh: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Recommends would bring AppArmor tools and the like, of which nothing here is in need.
apt-get install -y -qq --no-install-recommends "${missing[@]}"
