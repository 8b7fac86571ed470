#!/bin/bash
# Prints the path of a promtool: the machine's, or the one of Debian's package prometheus. Only that program
# is taken out of the package, because the package also starts a server. A second run reuses it.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if command -v promtool; then exit 0; fi
bin=${GSX_CACHE_DIR:-$repo/.cache}/promtool
if [[ ! -x $bin/promtool ]]; then
	part=$(mktemp -d)
	trap 'rm -rf "$part"' EXIT
	chmod 755 "$part"
	cd "$part"
	if ! apt-get download -qq prometheus >&2; then # the lists may be old, or missing
		apt-get update -qq >&2
		apt-get download -qq prometheus >&2
	fi
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
	mkdir -p "$bin"
	mv usr/bin/promtool "$bin/promtool.$$"
	mv "$bin/promtool.$$" "$bin/promtool"
fi
echo "$bin/promtool"
