#!/bin/bash
# Builds a test image from Debian's packages, because there is no registry to pull one from:
#
#   image.sh NAME HOST    build NAME and import it into the engine at HOST (unix://...) as
#                         gsx-test/NAME:latest; prints that reference
#   image.sh NAME         build its tarball only, and print the tarball's path
#   image.sh --list       list the image names
#
# A recipe is integration/recipes/NAME.bash, sourced here. It may set
#   suite     the Debian release of a root made anew, or
#   from      the image it starts from
#   packages  what to install into it
#   changes   lines of a Dockerfile for the image's configuration
#   setup     a function that works on the tree in $root; $work is a scratch folder, $recipes the
#             folder of the recipes
# and may have further files in integration/recipes/NAME/; those in NAME/root/ are copied into the
# image.
#
# The tarballs are in ${GSX_CACHE_DIR:-.cache}/images, named by a hash of the recipe. If the engine has an
# image of the same recipe, nothing is built.
set -euo pipefail
shopt -s inherit_errexit # a command that fails within $(...) ends it too
PATH="$PATH:/usr/sbin:/sbin"

# Raise this when the script builds other trees from the same recipes.
format=1

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
recipes=$repo/integration/recipes
cache=${GSX_CACHE_DIR:-$repo/.cache}/images

die() {
	echo "image.sh: $*" >&2
	exit 1
}

recipe() { # sets the variables of recipe $1, in the shell that calls
	suite='' from='' packages=() changes=()
	unset -f setup
	[[ -f $recipes/$1.bash ]] || die "no image named $1; there are: $(list)"
	# shellcheck source=/dev/null
	. "$recipes/$1.bash"
}

list() { (cd "$recipes" && printf '%s\n' *.bash | sed 's/\.bash$//' | paste -sd' '); }

# recipe_hash covers everything an image is made of, including its base image.
recipe_hash() {
	(
		recipe "$1"
		echo "$format $(dpkg --print-architecture)"
		cat "$recipes/$1.bash"
		# Another recipe that it sources is written `. "$recipes/OTHER.bash"`.
		sed -n 's|^\. "\$recipes/\(.*\)"$|\1|p' "$recipes/$1.bash" | (cd "$recipes" && xargs -r cat)
		[[ ! -d $recipes/$1 ]] || find "$recipes/$1" -type f -print0 | sort -z | xargs -0 cat
		[[ -z $from ]] || recipe_hash "$from"
	) | sha256sum | cut -c1-16
}

# is_thin reports whether the recipe only adds files and configuration to another image: the engine
# stores such an image as a layer, and no tarball is made.
is_thin() { [[ -n $from && ${#packages[@]} == 0 ]] && ! declare -F setup >/dev/null; }

# mirrors prints the machine's own Debian mirrors as sources of release $1. The machine may run another
# release, but a mirror has all of them.
mirrors() {
	local ask=(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages")
	[[ -n $("${ask[@]}" "Label: Debian") ]] || apt-get update -qq >&2
	"${ask[@]}" "Label: Debian" | sort -u | sed "s|.*|deb & $1 main|"
	"${ask[@]}" "Label: Debian-Security" | sort -u | sed "s|.*|deb & $1-security main|"
}

# keyring prints a keyring with the keys of release $1. The machine's own may be too old; apt then
# fetches and verifies the current one.
keyring() {
	local folder=/usr/share/keyrings
	if [[ ! -e $folder/debian-archive-$1-stable.gpg ]]; then
		folder=$work/keyring/usr/share/keyrings
		(
			mkdir "$work/keyring" && cd "$work/keyring"
			apt-get update -qq
			apt-get download -qq debian-archive-keyring
			dpkg-deb -x debian-archive-keyring_*.deb .
		) >&2
	fi
	echo "$folder/debian-archive-keyring.gpg"
}

bootstrap() {
	local sources main keys proxy
	keys=$(keyring "$suite")
	sources=$(mirrors "$suite")
	[[ -n $sources ]] || die "apt knows no Debian mirror on this machine"
	main=$(awk 'NR == 1 {print $2}' <<<"$sources")
	# debootstrap downloads with wget, which does not know apt's proxy.
	proxy=$(apt-config shell proxy Acquire::http::Proxy | sed "s/^proxy='\(.*\)'$/\1/")
	mkdir -p "$cache/debs/$suite-bootstrap"
	http_proxy=${proxy:-${http_proxy:-}} debootstrap --variant=minbase --keyring="$keys" \
		--cache-dir="$cache/debs/$suite-bootstrap" "$suite" "$root" "$main"
	echo "$sources" >"$root/etc/apt/sources.list"
}

# install_packages runs apt in the tree, with the machine's name server and apt settings. apt locks its
# archive, so each build has its own, with hard links to the packages of earlier builds.
install_packages() {
	local debs=$cache/debs/$suite archives=$work/archives
	mkdir -p "$debs" "$archives/partial" "$root/var/cache/apt/archives"
	find "$debs" -maxdepth 1 -name '*.deb' -exec ln -t "$archives" {} +
	mount --bind "$archives" "$root/var/cache/apt/archives"
	mount -t proc proc "$root/proc"
	cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
	apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries|Force)' >"$root/etc/apt/apt.conf.d/99machine" || true
	# No service may start in the tree.
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	(
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C
		chroot "$root" apt-get update -qq
		chroot "$root" apt-get install -y -qq --no-install-recommends "${packages[@]}"
	)
	umount "$root/proc" "$root/var/cache/apt/archives"
	find "$archives" -maxdepth 1 -name '*.deb' -exec ln -t "$debs" {} + 2>/dev/null || true # others may be there
	rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/99machine" "$root/etc/resolv.conf"
}

# report ends a build and shows its log if it failed.
report() {
	if (($1)); then
		tail -n 30 "$log" >&7 || true
		echo "image.sh: building $name failed; the end of $log is above" >&7
	fi
	umount "$root/proc" "$root/var/cache/apt/archives" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}

# build prints the path of the tarball of image $1, and builds it if it is missing.
build() (
	name=$1
	recipe "$name"
	if is_thin; then
		build "$from"
		return
	fi
	tarball=$cache/$name-$(recipe_hash "$name").tar.gz
	mkdir -p "$cache"
	# A second process waits here, and finds the image built.
	exec 8>"$cache/$name.lock"
	flock 8
	if [[ -f $tarball ]]; then
		echo "$tarball"
		return
	fi
	echo "image.sh: building $name" >&2

	find "$cache" -maxdepth 1 -name 'build.*' -mmin +180 -exec rm -rf --one-file-system {} + # of killed builds
	work=$(mktemp -d "$cache/build.XXXXXX")
	root=$work/root
	log=$cache/$name.log
	exec 7>&2 # a command that fails may have its standard error in the log
	trap 'report $?' EXIT
	mkdir -m 755 "$root"
	: >"$log"
	if [[ -n $from ]]; then
		base=$(build "$from")
		tar -C "$root" -xzf "$base"
		suite=$(recipe "$from" && echo "$suite")
	elif [[ -n $suite ]]; then
		bootstrap >>"$log" 2>&1
	fi
	((${#packages[@]} == 0)) || install_packages >>"$log" 2>&1
	if declare -F setup >/dev/null; then setup >>"$log" 2>&1; fi
	[[ ! -d $recipes/$name/root ]] || cp -a --no-preserve=ownership "$recipes/$name/root/." "$root"
	# Package lists become outdated, and documents are half of an image's size.
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* \
		"$root"/usr/share/{doc,man,info,locale}/*
	tar -C "$root" --numeric-owner --exclude='./proc/*' --exclude='./sys/*' -cf - . |
		gzip -1 >"$work/tar"
	rm -f "$cache/$name"-????????????????.tar.gz # of earlier recipes
	mv "$work/tar" "$tarball"
	echo "$tarball"
)

urlencode() { # keeps what is safe in a query and escapes the rest
	local i c out=
	for ((i = 0; i < ${#1}; i++)); do
		c=${1:i:1}
		[[ $c == [a-zA-Z0-9._/-] ]] || printf -v c '%%%02X' "'$c"
		out+=$c
	done
	echo "$out"
}

# curl calls the API: clients and engines of different versions reject each other.
api() { # METHOD PATH [CURL-OPTION...]
	curl -sS --unix-socket "${host#unix://}" -X "$1" "http://engine$2" "${@:3}"
}

import() {
	local name=$1 label target change tarball reply id
	label="gsx-test.recipe=$(recipe_hash "$name")"
	if api GET "/images/gsx-test/$name:latest/json" | grep -F "\"${label%=*}\":\"${label#*=}\"" >/dev/null; then
		return
	fi
	recipe "$name"
	target="repo=gsx-test/$name&tag=latest"
	for change in "LABEL $label" "${changes[@]}"; do
		target+="&changes=$(urlencode "$change")"
	done

	if is_thin; then
		(import "$from")
		# A container that never runs; files are added to its root, and it is committed.
		reply=$(api POST /containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"gsx-test/$from\"}")
		id=$(grep -o '"Id":"[0-9a-f]*"' <<<"$reply" | cut -d'"' -f4) || die "no container of $from: $reply"
		if [[ -d $recipes/$name/root ]]; then
			tar -C "$recipes/$name/root" --owner=0 --group=0 -c . |
				api PUT "/containers/$id/archive?path=/" -f -H 'Content-Type: application/x-tar' -T -
		fi
		reply=$(api POST "/commit?container=$id&$target" -H 'Content-Type: application/json' -d '{}')
		api DELETE "/containers/$id"
		grep -F '"Id":"sha256:' <<<"$reply" >/dev/null || die "commit of $name failed: $reply"
	else
		tarball=$(build "$name")
		# The engine answers 200 before it reads the body: the last line has the result.
		reply=$(api POST "/images/create?fromSrc=-&$target" -T "$tarball")
		grep -F '"status":"sha256:' <<<"$reply" >/dev/null || die "import of $name failed: $reply"
	fi
}

if [[ ${1:-} == --list ]]; then
	list
	exit
fi
[[ $# == 1 || ($# == 2 && $2 == unix://*) ]] || die "usage: image.sh NAME [unix://SOCKET]"
((EUID == 0)) || die "needs root"
# In a mount namespace of its own, so that a killed build leaves no mount.
[[ -n ${GSX_IMAGE_UNSHARED:-} ]] || GSX_IMAGE_UNSHARED=1 exec unshare --mount -- "${BASH_SOURCE[0]}" "$@"
unset GSX_IMAGE_UNSHARED

if (($# == 1)); then
	build "$1"
else
	host=$2
	import "$1"
	echo "gsx-test/$1:latest"
fi
