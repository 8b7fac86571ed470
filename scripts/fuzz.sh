#!/bin/bash
# Runs every fuzz target of the repository, or those whose "package Name" matches a pattern:
#
#   fuzz.sh [COUNT [PATTERN]]    COUNT is as go test -fuzztime takes it: 10000000x (the default) or 5m
#
# Prints for each how many inputs were tried, and the peak of its workers' memory. It fails when a
# target does, or when a worker takes more than 100 MiB of memory.
#
# Environment: GO, the Go command; FUZZ_PARALLEL, the workers of each target (2). An input that fails is
# kept in the package's testdata/fuzz, to be committed with the fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-10000000x} pattern=${2:-} go=${GO:-go} most=102400 # KiB

# targets prints "package Name" of each. The integration tests are no place for one: listing them would
# start an engine.
targets() {
	"$go" list ./... | grep -v '/integration$' | xargs "$go" test -list '^Fuzz' |
		awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }'
}

# workers prints the processes below process $1 that try inputs.
workers() {
	local pid
	for pid in $(pgrep -P "$1"); do
		if { tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qx -- -test.fuzzworker; } 2>/dev/null; then echo "$pid"; fi
		workers "$pid"
	done
}

# peak keeps the highest VmHWM of the workers below process $1 in file $2, in KiB, until $1 ends.
peak() {
	local pid now high=0
	while kill -0 "$1" 2>/dev/null; do
		for pid in $(workers "$1"); do
			now=$(awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
			if ((${now:-0} > high)); then high=$now && echo "$high" >"$2"; fi
		done
		sleep 0.5
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
while read -r package name; do
	[[ "${package#*/} $name" =~ $pattern ]] || continue
	echo 0 >"$work/peak"
	began=$SECONDS
	# To make an input that is new but no failure smaller takes much time and shows nothing.
	GOMEMLIMIT=${GOMEMLIMIT:-64MiB} "$go" test -run '^$' -timeout 0 -fuzz "^$name\$" -fuzztime "$count" \
		-fuzzminimizetime 10x -parallel "${FUZZ_PARALLEL:-2}" "$package" >"$work/log" 2>&1 &
	test=$!
	peak "$test" "$work/peak" &
	ended=0
	wait "$test" || ended=$?
	wait
	tried=$(grep -o 'execs: [0-9]*' "$work/log" | tail -1 | cut -d' ' -f2) || true
	high=$(<"$work/peak")
	printf '%-34s %-22s %10s inputs %6s s %4s MiB\n' "${package#*/}" "$name" "${tried:-0}" $((SECONDS - began)) $((high / 1024))
	if ((ended != 0 || high > most)); then
		failed=1
		tail -n 40 "$work/log"
	fi
done < <(targets)
exit "$failed"
