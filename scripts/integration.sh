#!/bin/bash
# The integration tests:
#
#   integration.sh FLAG...     run all of them; FLAG is one of `go test`
#   integration.sh packages    print the packages that have them
#
# The packages use one private engine, one after the other: it starts here and ends with the last of
# them, unless it ran before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go}

# packages prints those whose tests use the harness.
packages() {
	"$go" list -f '{{.ImportPath}} {{join .TestImports " "}}' ./integration/... |
		awk '/ [^ ]*\/integration\/harness( |$)/ { print $1 }'
}

if [[ $* == packages ]]; then
	packages
	exit
fi
dir=$(scripts/engine.sh place)
if ! scripts/engine.sh status "$dir" >/dev/null; then
	trap 'scripts/engine.sh stop "$dir"' EXIT
	scripts/engine.sh start "$dir" >/dev/null
fi
mapfile -t all < <(packages)
"$go" test -p 1 "$@" "${all[@]}"
