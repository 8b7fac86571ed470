#!/bin/bash
# Builds BuildKit's buildkitd and buildctl from their Go modules, and the rootlesskit with which an
# unprivileged user runs them. Prints their folder. A second run reuses the result.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v0.25.2
rootlesskit=v2.3.6
bin=${GSX_CACHE_DIR:-$repo/.cache}/buildkit-$version-rootlesskit-$rootlesskit

# build MODULE VERSION PACKAGE...
build() {
	local package
	mkdir "$bin.part/module"
	(
		# A module that excludes versions of others cannot be installed by its name alone.
		cd "$bin.part/module"
		export CGO_ENABLED=0 GOFLAGS=-mod=mod
		"${GO:-go}" mod init build
		for package in "${@:3}"; do
			"${GO:-go}" get "$1/$package@$2"
			"${GO:-go}" build -trimpath -ldflags '-s -w' -o "$bin.part/" "$1/$package"
		done
	) >&2
	rm -rf "$bin.part/module"
}

mkdir -p "${bin%/*}"
exec 9>"$bin.lock"
flock 9
if [[ ! -x $bin/buildkitd ]]; then
	rm -rf "$bin.part"
	mkdir "$bin.part"
	build github.com/rootless-containers/rootlesskit/v2 "$rootlesskit" cmd/rootlesskit
	build github.com/moby/buildkit "$version" cmd/buildctl cmd/buildkitd
	mv -T "$bin.part" "$bin"
fi
echo "$bin"
