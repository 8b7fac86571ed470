#!/bin/bash
# Builds the packages:
#
#   package.sh OUTPUT [FORMAT...]    FORMAT is deb, rpm or tar.gz; all of them if none is named
#
# OUTPUT then has, for each architecture, the packages and the list of the modules in the program (CycloneDX), and
# SHA256SUMS of all. The same commit gives the same files (SOURCE_DATE_EPOCH).
#
# Environment: ARCHES, the architectures ("amd64 arm64"); VERSION; GO, the Go command. The tools are built once in
# ${GSX_CACHE_DIR:-.cache}.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=gitlab-sysbox-executor
go=${GO:-go}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

(($#)) || {
	echo "usage: package.sh OUTPUT [deb|rpm|tar.gz...]" >&2
	exit 2
}
mkdir -p "$1"
output=$(realpath "$1")
formats=("${@:2}")
((${#formats[@]})) || formats=(deb rpm tar.gz)

# tool MODULE@VERSION prints the path of the program.
tool() {
	local file=${1%@*} bin
	bin=${GSX_CACHE_DIR:-$PWD/.cache}/tools/${file##*/}-${1#*@}
	if [[ ! -x $bin/${file##*/} ]]; then
		mkdir -p "$bin"
		GOBIN=$bin CGO_ENABLED=0 "$go" install "$1" >&2
	fi
	echo "$bin/${file##*/}"
}

VERSION=$(scripts/build.sh --version)
SOURCE_DATE_EPOCH=$(scripts/build.sh --epoch)
export VERSION SOURCE_DATE_EPOCH TZ=UTC
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# common writes what does not depend on the architecture into the folder BUILD.
common() {
	local unit timers services
	CGO_ENABLED=0 "$go" run -trimpath ./cmd/manual "$VERSION" "$BUILD"
	gzip -9n "$BUILD"/man/*
	mkdir "$BUILD/units" "$BUILD/scripts" "$BUILD/doc"
	for unit in scripts/systemd/*; do
		sed "s|/usr/local/bin/$name|/usr/bin/$name|" "$unit" >"$BUILD/units/${unit##*/}"
	done
	timers=$(cd scripts/systemd && echo *.timer)
	services=$(cd scripts/systemd && echo *.service)
	for unit in scripts/package/{deb,rpm}-*; do
		sed "s|@TIMERS@|$timers|; s|@SERVICES@|$services|" "$unit" >"$BUILD/scripts/${unit##*/}"
	done
	cp README.md "$BUILD/doc/"
	gzip -9nc CHANGELOG.md >"$BUILD/doc/changelog.gz"
	cp -r docs "$BUILD/doc/"
	find "$BUILD" -type f -exec chmod 644 {} +
	find "$BUILD/scripts" -type f -exec chmod 755 {} +
}

# tarball writes a folder for a machine without dpkg and rpm; the command install writes the rest.
tarball() {
	local folder=$name-$VERSION-linux-$ARCH
	mkdir -p "$work/$folder"
	cp -r "$BUILD/$name" "$BUILD/man" "$BUILD/completion" README.md LICENSE CHANGELOG.md config.example.toml docs scripts/systemd "$work/$folder/"
	tar -C "$work" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$folder" |
		gzip -9n >"$output/$folder.tar.gz"
}

for ARCH in ${ARCHES:-amd64 arm64}; do
	BUILD=$work/$ARCH
	mkdir "$BUILD"
	common
	GOARCH=$ARCH scripts/build.sh "$BUILD/$name"
	sed "s|@BUILD@|$BUILD|; s|@ARCH@|$ARCH|; s|@VERSION@|$VERSION|" scripts/package/nfpm.yaml >"$BUILD/nfpm.yaml"
	for format in "${formats[@]}"; do
		case $format in
		tar.gz) tarball ;;
		*) "$(tool "$nfpm")" package --config "$BUILD/nfpm.yaml" --packager "$format" --target "$output" ;;
		esac
	done
	"$(tool "$cyclonedx")" bin -json -std -noserial -notimestamp -version "$VERSION" -output "$output/$name-$VERSION-linux-$ARCH.cdx.json" "$BUILD/$name"
done
(cd "$output" && rm -f SHA256SUMS && find . -maxdepth 1 -type f -name "$name*" -printf '%P\n' | sort | xargs sha256sum >"$work/sums" && mv "$work/sums" SHA256SUMS)
