#!/bin/bash
# Builds a Docker Engine 29 from its Go module and prints the path of its dockerd. The engine's helpers
# (containerd, runc) are Debian's. A second run finds it built.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v2.0.0-beta.24 # the module's number of an engine 29
bin=${GSX_CACHE_DIR:-$repo/.cache}/engine-$version
if [[ ! -x $bin/dockerd ]]; then
	mkdir -p "$bin.part"
	for command in docker-proxy dockerd; do
		GOBIN=$bin.part CGO_ENABLED=0 "${GO:-go}" install "github.com/moby/moby/v2/cmd/$command@$version" >&2
	done
	mv -T "$bin.part" "$bin"
fi
echo "$bin/dockerd"
