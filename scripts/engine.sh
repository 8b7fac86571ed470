#!/bin/bash
# A private Docker Engine next to whatever else the machine runs:
#
#   engine.sh start DIR    start it, unless it runs
#   engine.sh env DIR      print ENGINE_HOST, ENGINE_RUNTIME, ENGINE_STANDIN and ENGINE_SUBNETS (for the networks of
#                          jobs) as shell assignments
#   engine.sh status DIR   print whether it answers (exit code 0 or 1)
#   engine.sh stop DIR     end everything it started; its data stays in DIR
#   engine.sh place        print the DIR that this checkout's tests and `make try` use
#   engine.sh runtime      print which runtime an engine started now would offer
#   engine.sh sysbox       print whether Sysbox is installed and runs (exit code 0 or 1)
#
# Where Sysbox runs, the engine offers it as runtime `sysbox-runc`. Elsewhere it remaps user
# namespaces and offers a stand-in, `sysbox-standin`; scripts/standin lists what it lacks.
#
# Environment: DOCKERD, the engine's binary (its own folder is searched first for its helpers);
# ENGINE_FLAGS, further flags such as --live-restore; GO, the Go command that builds the stand-in.
#
# The engine does not change the machine's firewall, except for one rule that lets its containers
# reach each other. So they reach one another and this machine, and nothing beyond it;
# ENGINE_FLAGS='--iptables=true --ip-masq=true --ip-forward=true' changes that.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
remap=gsxremap # the user whose sub-id range containers get; one range serves every private engine

die() {
	echo "engine.sh: $*" >&2
	exit 1
}

# The engine is the process whose command line names our PID file: the number in a stale PID file may
# belong to another process.
engine_pid() {
	local pid
	pid=$(cat "$dir/dockerd.pid" 2>/dev/null) || return 1
	grep -zqxF -- "--pidfile=$dir/dockerd.pid" "/proc/$pid/cmdline" 2>/dev/null || return 1
	echo "$pid"
}

# curl calls the API: clients and engines of different versions reject each other.
api() { # METHOD PATH [CURL-OPTION...]
	curl -sSf --max-time 30 --unix-socket "$dir/docker.sock" -X "$1" "http://engine$2" "${@:3}"
}

answers() { api GET /_ping -o /dev/null 2>/dev/null; }

sysbox_runs() {
	command -v sysbox-runc >/dev/null && pgrep -x sysbox-mgr >/dev/null && pgrep -x sysbox-fs >/dev/null
}

# ensure_remap gives the remap user 65536 subordinate IDs in the first gap of both tables.
ensure_remap() {
	touch /etc/subuid /etc/subgid
	getent group "$remap" >/dev/null || groupadd --system "$remap"
	id "$remap" >/dev/null 2>&1 ||
		useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin -g "$remap" "$remap"
	if grep -q "^$remap:" /etc/subuid && grep -q "^$remap:" /etc/subgid; then return; fi
	local first
	first=$(sort -t: -k2,2n /etc/subuid /etc/subgid | awk -F: '
		BEGIN { first = 100000 }
		$2 < first + 65536 && $2 + $3 > first { first = $2 + $3 }
		END { print first }')
	usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" "$remap"
}

# A container's root is an unprivileged user here and needs access to every parent folder.
check_reachable() {
	local path=$dir
	while [[ $path != / ]]; do
		[[ $(stat -c %A "$path") == *[xt] ]] ||
			die "user-namespace remapping needs $path to be searchable by everybody: chmod o+x it, or choose another folder"
		path=$(dirname "$path")
	done
}

# choose_net picks a /16 that overlaps no route of this machine. The search starts at a hash of DIR.
choose_net() {
	local start i net routes
	start=$((16#${hash:0:6}))
	for ((i = 0; i < 140; i++)); do
		if ((i < 128)); then
			net=10.$((64 + (start + i) % 128))
		else
			net=172.$((i - 112))
		fi
		# Neither a route within it nor one around it, except the default route.
		routes=$(ip -4 route show root "$net.0.0/16" && ip -4 route show match "$net.0.0/16" | sed /^default/d)
		if [[ -z $routes ]]; then
			echo "$net"
			return
		fi
	done
	die "no free /16 network in 10.64-191 and 172.16-27"
}

# With br_netfilter even traffic between two ports of one bridge passes the FORWARD chain, which
# another Docker Engine on this machine may have closed.
firewall() { # -C, -I or -D
	iptables -w "$1" FORWARD -s "$net.0.0/16" -d "$net.0.0/16" -j ACCEPT 2>/dev/null
}

network_up() {
	net=$(cat "$dir/net" 2>/dev/null) || {
		net=$(choose_net)
		echo "$net" >"$dir/net"
	}
	ip link show "$bridge" >/dev/null 2>&1 || ip link add name "$bridge" type bridge
	ip address replace "$net.255.1/24" dev "$bridge"
	ip link set "$bridge" up
	firewall -C || firewall -I || true # a machine without iptables has nothing closed
}

start() {
	mkdir -p "$dir/bin"
	# One start at a time, because starts share the ID tables and the choice of a network.
	exec 9>/run/lock/gsx-engine.lock
	flock -w 120 9 || die "another start has held /run/lock/gsx-engine.lock for two minutes"

	if engine_pid >/dev/null && answers; then return; fi
	if engine_pid >/dev/null; then die "the engine runs but does not answer; see $dir/dockerd.log"; fi

	local dockerd=${DOCKERD:-dockerd}
	[[ $dockerd != /* ]] || PATH="$(dirname "$dockerd"):$PATH"
	command -v "$dockerd" >/dev/null || die "no $dockerd: run scripts/packages.sh first"

	local flags=() runtime standin=no
	if sysbox_runs; then
		runtime=sysbox-runc
		flags+=("--add-runtime=sysbox-runc=$(command -v sysbox-runc)")
	else
		runtime=sysbox-standin standin=yes
		check_reachable
		ensure_remap
		(cd "$repo" && CGO_ENABLED=0 "${GO:-go}" build -o "$dir/bin/sysbox-standin" ./scripts/standin) ||
			die "the stand-in runtime does not build"
		flags+=("--add-runtime=sysbox-standin=$dir/bin/sysbox-standin" "--userns-remap=$remap")
	fi
	network_up
	echo '{}' >"$dir/daemon.json" # else the machine's own engine's configuration would be taken

	# shellcheck disable=SC2206 # the flags in ENGINE_FLAGS are meant to be split
	flags+=(
		"--config-file=$dir/daemon.json" "--pidfile=$dir/dockerd.pid" "--host=unix://$dir/docker.sock"
		"--data-root=$dir/data" "--exec-root=$dir/exec"
		"--bridge=$bridge" "--default-address-pool=base=$net.0.0/17,size=24"
		--iptables=false --ip6tables=false --ip-masq=false --ip-forward=false
		--shutdown-timeout=5
		${ENGINE_FLAGS:-}
	)
	# With --live-restore the engine adopts the containers of a killed engine.
	[[ -n $(leftovers) ]] || forget_run
	printf 'ENGINE_HOST=unix://%s\nENGINE_RUNTIME=%s\nENGINE_STANDIN=%s\nENGINE_SUBNETS=%s.128.0/18\n' \
		"$dir/docker.sock" "$runtime" "$standin" "$net" >"$dir/engine.env"
	# A session of its own, without our output: a process that waits for the end of our output must
	# not wait for the engine.
	setsid "$dockerd" "${flags[@]}" </dev/null >>"$dir/dockerd.log" 2>&1 9>&- &
	local child=$!
	for ((i = 0; i < 300; i++)); do
		if answers; then return; fi
		kill -0 "$child" 2>/dev/null || break
		sleep 0.2
	done
	grep -v module=grpc "$dir/dockerd.log" | tail -n 30 >&2
	die "the engine did not come up; the end of $dir/dockerd.log is above"
}

# leftovers lists containerd and its shims: the command lines of all contain the path of our containerd's
# files. The pattern comes on standard input, because grep must not find itself.
leftovers() {
	local processes=(/proc/[0-9]*/cmdline)
	grep -slaF -f - "${processes[@]}" <<<"$dir/exec/containerd/" | cut -d/ -f3
}

end_processes() {
	local pid id
	if pid=$(engine_pid); then
		# Containers first: the engine would wait for each of them.
		for id in $(api GET /containers/json 2>/dev/null | grep -o '"Id":"[0-9a-f]\{64\}"' | cut -d'"' -f4); do
			api POST "/containers/$id/kill" -o /dev/null 2>/dev/null || true
		done
		kill "$pid" 2>/dev/null || true
		for ((i = 0; i < 100; i++)); do
			[[ -e /proc/$pid ]] || break
			sleep 0.2
		done
		kill -KILL "$pid" 2>/dev/null || true
	fi
	# Leftovers of a killed engine: a shim's child is a container's first process, and its end ends
	# all processes of the container.
	for ((i = 0; i < 20; i++)); do
		[[ -n $(leftovers) ]] || return 0
		for pid in $(leftovers); do
			pkill -KILL -P "$pid" 2>/dev/null || true
			kill -KILL "$pid" 2>/dev/null || true
		done
		sleep 0.2
	done
	die "processes would not end: $(leftovers | tr '\n' ' ')"
}

unmount_below() { # FOLDER
	local path
	# mountinfo writes a space in a path as \040, and printf decodes it; the deepest mount comes first.
	awk '{print $5}' /proc/self/mountinfo | sort -r | while IFS= read -r path; do
		path=$(printf '%b' "$path")
		[[ $path == "$1"/* ]] || continue
		umount "$path" 2>/dev/null || umount --lazy "$path" || true
	done
}

# forget_run removes files about processes that are gone: with a stale containerd.pid whose number another
# process has, the engine waits for that containerd in vain.
forget_run() {
	local run
	for run in "$dir/exec" "$dir"/exec.*; do # with remapping the engine adds .UID.GID
		unmount_below "$run"
		rm -rf --one-file-system "$run"
	done
	rm -f "$dir/dockerd.pid" "$dir/docker.sock"
}

network_down() {
	net=$(cat "$dir/net" 2>/dev/null) || return 0
	# User-defined networks have bridges of their own, recognised by an address from our pool.
	local link
	for link in $(ip -o -4 address show | awk -v net="$net." 'index($4, net) == 1 {print $2}'); do
		ip link delete "$link" 2>/dev/null || true
	done
	ip link delete "$bridge" 2>/dev/null || true
	while firewall -D; do :; done
}

stop() {
	[[ -d $dir ]] || return 0
	end_processes
	unmount_below "$dir"
	forget_run
	network_down
}

case "$*" in
place)
	# Outside the checkout, which may be in a folder that a container's root cannot enter, and short.
	echo "${GSX_ENGINE_DIR:-/var/tmp/gsx-$(printf '%s' "$repo" | sha256sum | cut -c1-8)}"
	exit
	;;
runtime)
	if sysbox_runs; then
		echo "runtime: sysbox-runc"
	else
		echo "runtime: sysbox-standin (a stand-in: Sysbox is not installed here)"
	fi
	exit
	;;
sysbox)
	sysbox_runs || die "sysbox-runc is not on PATH, or sysbox-mgr and sysbox-fs do not run"
	exit
	;;
esac
[[ $# == 2 && $1 =~ ^(start|stop|status|env)$ ]] || die "usage: engine.sh start|stop|status|env DIR"
dir=$(realpath -m "$2")
# containerd's sockets are below it, and a socket path may have 104 characters.
((${#dir} <= 60)) || die "$dir is too long a path for the engine's sockets: 60 characters at most"
[[ $dir != / ]] || die "the engine needs a folder of its own"
hash=$(printf '%s' "$dir" | sha256sum)
bridge=gsx-${hash:0:8}

case $1 in
start)
	((EUID == 0)) || die "needs root"
	start
	cat "$dir/engine.env"
	;;
stop)
	((EUID == 0)) || die "needs root"
	stop
	;;
status)
	if answers; then
		echo "running, pid $(engine_pid || echo unknown)"
	else
		echo "not running"
		exit 1
	fi
	;;
env) cat "$dir/engine.env" 2>/dev/null || die "no engine was started in $dir" ;;
esac
