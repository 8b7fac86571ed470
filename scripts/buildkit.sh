#!/bin/bash
# Builds BuildKit's buildkitd and buildctl from their Go module and prints the folder they are in. A
# second run finds them built.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v0.34.2
bin=${GSX_CACHE_DIR:-$repo/.cache}/buildkit-$version
exec 9>"$bin.lock"
flock 9
if [[ ! -x $bin/buildkitd ]]; then
	mkdir -p "$bin.part"
	for command in buildctl buildkitd; do
		GOBIN=$bin.part CGO_ENABLED=0 "${GO:-go}" install -ldflags '-s -w' "github.com/moby/buildkit/cmd/$command@$version" >&2
	done
	mv -T "$bin.part" "$bin"
fi
echo "$bin"
