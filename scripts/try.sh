#!/bin/bash
# Runs one job that builds a container image, on this machine and without GitLab. It installs missing Debian
# packages. If no engine with Sysbox runs, it starts a private engine with a stand-in runtime. A second run
# reuses all of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ((EUID != 0)); then
	echo "try.sh: run it as root: it installs packages and starts a Docker Engine" >&2
	exit 1
fi

scripts/engine.sh runtime
scripts/packages.sh
dir=$(scripts/engine.sh place)
scripts/engine.sh start "$dir" >/dev/null
eval "$(scripts/engine.sh env "$dir")"
make --no-print-directory --silent build
image=$(scripts/image.sh buildah "$ENGINE_HOST")

state=$dir-state
mkdir -p "$state"
cat >"$state/config.toml" <<EOF
runtime = "$ENGINE_RUNTIME"
state_dir = "$state"
[engine]
host = "$ENGINE_HOST"
[network]
subnets = ["$ENGINE_SUBNETS"]
[job]
pull_policy = ["if-not-present"]
EOF
exec bin/gitlab-sysbox-executor try --config "$state/config.toml" --image "$image" --script scripts/try-job.sh
