#!/bin/bash
# Builds BuildKit's buildkitd and buildctl from their Go module and prints the folder they are in. A
# second run finds them built.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v0.25.2
bin=${GSX_CACHE_DIR:-$repo/.cache}/buildkit-$version
exec 9>"$bin.lock"
flock 9
if [[ ! -x $bin/buildkitd ]]; then
	# BuildKit's module excludes versions of others, so it cannot be installed by its name alone.
	rm -rf "$bin.part"
	mkdir -p "$bin.part/module"
	(
		cd "$bin.part/module"
		export CGO_ENABLED=0 GOFLAGS=-mod=mod
		"${GO:-go}" mod init buildkit
		for command in buildctl buildkitd; do
			"${GO:-go}" get "github.com/moby/buildkit/cmd/$command@$version"
			"${GO:-go}" build -trimpath -ldflags '-s -w' -o "$bin.part/$command" "github.com/moby/buildkit/cmd/$command"
		done
	) >&2
	rm -rf "$bin.part/module"
	mv -T "$bin.part" "$bin"
fi
echo "$bin"
