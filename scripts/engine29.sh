#!/bin/bash
# Builds a Docker Engine 29 from its Go modules, and a runc that supports the time namespace of this
# engine. Prints the path of the dockerd. Its containerd is Debian's. A second run reuses the result.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v2.0.0-beta.24 # the module's number of an engine 29
bin=${GSX_CACHE_DIR:-$repo/.cache}/engine-$version
if [[ ! -x $bin/dockerd ]]; then
	mkdir -p "$bin.part"
	for command in docker-proxy dockerd; do
		GOBIN=$bin.part CGO_ENABLED=0 "${GO:-go}" install "github.com/moby/moby/v2/cmd/$command@$version" >&2
	done
	GOBIN=$bin.part CGO_ENABLED=1 "${GO:-go}" install "github.com/opencontainers/runc@v1.3.4" >&2
	mv -T "$bin.part" "$bin"
fi
echo "$bin/dockerd"
