#!/bin/bash
# Builds the program as it is released: one static binary, which contains the agent, without paths of this machine.
#
#   build.sh OUTPUT      build it
#   build.sh --version   print its version: VERSION if it is set, otherwise from git
#   build.sh --epoch     print the time of the commit in seconds since 1970: SOURCE_DATE_EPOCH if it is set
#
# Environment: GOARCH; GO, the Go command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go}

commit=$(git rev-parse HEAD 2>/dev/null || true)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

# A version sorts after its predecessors in dpkg and rpm: the tag, or before the first tag the time of the commit.
version() {
	local tag dirty=
	if [[ -n ${VERSION:-} ]]; then
		echo "$VERSION"
		return
	fi
	[[ -z $(git status --porcelain 2>/dev/null) ]] || dirty=+dirty
	if tag=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
		sed "s/^v//; s/-\([0-9]*\)-g/+\1.g/; s/\$/$dirty/" <<<"$tag"
	else
		echo "0.0.0~$(date -u -d "@$epoch" +%Y%m%d%H%M%S)${commit:+.g${commit:0:7}}$dirty"
	fi
}

case ${1:-} in
--version) version && exit ;;
--epoch) echo "$epoch" && exit ;;
'' | -*) echo "usage: build.sh OUTPUT | --version | --epoch" >&2 && exit 2 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0
"$go" build -trimpath -ldflags '-s -w' -o "$work/agent" ./cmd/agent
# An overlay, because builds for several architectures may run at once.
agent=executor/agentprogram/agent
printf '{"Replace":{"%s":"%s"}}\n' "$PWD/$agent" "$work/agent" >"$work/overlay.json"
stages=gitlab-sysbox-executor/stages
"$go" build -overlay "$work/overlay.json" -tags agentprogram -trimpath -ldflags "-s -w -X $stages.Version=$(version) \
	-X $stages.Commit=$commit -X $stages.Date=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" -o "$1" .
