#!/bin/bash
# Runs every fuzz target of the repository, or those whose "package Name" matches a pattern:
#
#   fuzz.sh [COUNT [PATTERN]]    COUNT is as go test -fuzztime takes it: 10000000x (the default) or 5m
#
# Prints for each target how many inputs were tried, and the peak of its workers' memory: the total (VmHWM),
# and the part that belongs to no file (RssAnon, read every two seconds). It fails if a target fails, or if
# the total of a worker exceeds 100 MiB. The targets themselves bound the memory of one input
# (integration/heap).
#
# Environment: GO, the Go command; FUZZ_PARALLEL, the workers of each target (2); FUZZ_LOGS, a folder
# for the output of each target as NAME.log. An input that fails is stored in the package's
# testdata/fuzz, to be committed with the fix; other inputs that reach new code are in Go's cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-10000000x} pattern=${2:-} go=${GO:-go} most=102400 # KiB
cache=$("$go" env GOCACHE)/fuzz

# targets prints "package Name" of each target.
targets() {
	local package file
	"$go" list -f '{{range .TestGoFiles}}{{$.ImportPath}} {{$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$.ImportPath}} {{$.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | while read -r package file; do
		[[ -z $package ]] || sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(f .*|$package \1|p" "$file"
	done
}

# workers prints the processes below process $1 that try inputs.
workers() {
	local pid
	for pid in $(pgrep -P "$1"); do
		if { tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qx -- -test.fuzzworker; } 2>/dev/null; then echo "$pid"; fi
	done
}

# peak writes the highest VmHWM and RssAnon of the workers of process $1, in KiB, to file $2 until $1 ends.
peak() {
	local pid name now all=0 anonymous=0
	while kill -0 "$1" 2>/dev/null; do
		for pid in $(workers "$1"); do
			while read -r name now _; do
				case $name in
				VmHWM:) ((now <= all)) || all=$now ;;
				RssAnon:) ((now <= anonymous)) || anonymous=$now ;;
				esac
			done < <(cat "/proc/$pid/status" 2>/dev/null)
		done
		echo "$all $anonymous" >"$2"
		sleep 2
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
logs=${FUZZ_LOGS:-$work}
mkdir -p "$logs"
failed=0 built=
while read -r package name; do
	[[ "${package#*/} $name" =~ $pattern ]] || continue
	if [[ $built != "$package" ]]; then
		# go test -fuzz would also look for new code in all packages that this one uses, which takes more
		# than twice the time.
		"$go" test -c -o "$work/test" -gcflags "$package=-d=libfuzzer" "$package"
		built=$package
	fi
	log=$logs/$name-$(basename "$package").log
	echo "0 0" >"$work/peak"
	began=$SECONDS
	# Minimising an input that is no failure takes much time and shows nothing. One thread for each
	# worker, and a stack that need not grow, save time. Go's mutator allocates a buffer of 100 MiB in
	# each worker (scratch in internal/fuzz/mutator.go) and never writes to it. It takes memory only if it is
	# allocated after a garbage collection, which zeroes it: so the first collection waits for the limit,
	# which counts the buffer.
	(cd "$("$go" list -f '{{.Dir}}' "$package")" && GOGC=off GOMEMLIMIT=109MiB GOMAXPROCS=1 GODEBUG=adaptivestackstart=1 exec "$work/test" -test.run '^$' -test.timeout 0 -test.fuzz "^$name\$" \
		-test.fuzztime "$count" -test.fuzzminimizetime 10x -test.parallel "${FUZZ_PARALLEL:-2}" -test.fuzzcachedir "$cache/$package") >"$log" 2>&1 &
	test=$!
	peak "$test" "$work/peak" &
	ended=0
	wait "$test" || ended=$?
	wait
	tried=$(grep -o 'execs: [0-9]*' "$log" | tail -1 | cut -d' ' -f2) || true
	read -r all anonymous <"$work/peak"
	printf '%-24s %-18s %9s inputs %6s s %4s MiB, %s MiB of no file, ended with %s\n' "${package#*/}" "$name" "${tried:-0}" \
		$((SECONDS - began)) $(((all + 1023) / 1024)) $(((anonymous + 1023) / 1024)) "$ended" | tee -a "$log"
	if ((ended != 0 || all > most)); then
		failed=1
		tail -n 40 "$log"
	fi
done < <(targets)
exit "$failed"
