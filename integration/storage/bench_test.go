package storage

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// storageBuild is the measure: a Dockerfile of 13 layers that change
// files, over a Debian root, which is pulled first, since a job's store is empty.
// It prints the time it all took and the pull's, in milliseconds, and the disk, in
// KiB; the peak is what the volume's file system shows above its start.
func storageBuild(layers bool) []string {
	return []string{harness.Lines(
		"set -e",
		"used() { df --output=used -k /var/lib/containers | tail -1; }",
		"now() { date +%s%N; }",
		"mkdir -p context && cd context",
		"{ echo FROM base; for n in $(seq 13); do echo \"RUN head -c 1000000 /dev/urandom >/opt/file$n && touch /etc/changed$n && sed -i s/^/#/ /etc/login.defs\"; done; } >Dockerfile",
		"sync",
		"start=$(used)",
		"(peak=0; while [ ! -e /tmp/over ]; do now=$(used); [ $now -le $peak ] || peak=$now; echo $peak >/tmp/peak.new; mv /tmp/peak.new /tmp/peak; sleep 0.2; done) &",
		"began=$(now)",
		"buildah tag $(buildah pull -q docker-archive:/base.tar) base",
		"pulled=$(now)",
		fmt.Sprintf("buildah build -q --layers=%t -t built . >/dev/null", layers),
		"ended=$(now)",
		"touch /tmp/over; wait; sync",
		"if [ $(df --output=target /var/lib/containers | tail -1) = /var/lib/containers ] && [ $(stat -f -c %T /var/lib/containers) != ext2/ext3 ]; then disk=$(($(used) - start)); else disk=$(du -sk /var/lib/containers | cut -f1); fi",
		"echo result $(((ended - began) / 1000000)) $(((pulled - began) / 1000000)) $disk $(($(cat /tmp/peak) - start))",
	)}
}

// storageCase is a line of the table.
type storageCase struct{ backend, driver string }

type storageResult struct{ wall, pull, disk, peak, removal float64 }

// BenchmarkStorage rebuilds the table of docs/storage.md: builds interleaved,
// medians, ratios within the run. GSX_BENCH_ROUNDS is their number (3);
// the table is also written to the file GSX_BENCH_TABLE.
func BenchmarkStorage(b *testing.B) {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("GSX_BENCH_ROUNDS"), "3"))
	if err != nil || rounds < 1 {
		b.Fatalf("GSX_BENCH_ROUNDS: %v", err)
	}
	cases := []storageCase{{"volume", "vfs"}, {"xfs-loop", "vfs"}, {"tmpfs", "vfs"}, {"volume", "overlay"}, {"xfs-loop", "overlay"}}
	var table strings.Builder
	if harness.World.Runtime != "sysbox-runc" {
		// The kernel keeps overlay's opaque folders from a mere user name space.
		cases = cases[:3]
		fmt.Fprintf(&table, "\nMeasured on %s, where native overlay does not work.\n", harness.World.Runtime)
	}
	archive := filepath.Join(harness.World.Dir, "base.tar")
	if _, err := harness.Command(time.Minute, "docker", "-H", harness.World.Engine.Host, "save", "--output", archive, harness.Image(b, "bookworm")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, layers := range []bool{true, false} {
			found := map[storageCase][]storageResult{}
			for range rounds {
				for _, c := range cases {
					if !layers && c == (storageCase{"tmpfs", "vfs"}) {
						continue
					}
					found[c] = append(found[c], benchmarkBuild(b, c, archive, layers))
				}
			}
			fmt.Fprintf(&table, "\n`--layers=%t`, medians of %d:\n\n| storage | wall | without the pull | final disk | peak disk | removal |\n|---|---|---|---|---|---|\n", layers, rounds)
			first := found[cases[0]]
			if !layers && len(cases) > 3 {
				first = found[storageCase{"volume", "overlay"}]
			}
			for _, c := range cases {
				if len(found[c]) == 0 {
					continue
				}
				cell := func(what func(storageResult) float64, format string) string {
					m := medianOf(found[c], what)
					return fmt.Sprintf(format+" (%.2f)", m, m/medianOf(first, what))
				}
				fmt.Fprintf(&table, "| %s, %s | %s | %s | %s | %s | %s |\n", c.backend, c.driver,
					cell(func(r storageResult) float64 { return r.wall }, "%.1f s"),
					cell(func(r storageResult) float64 { return r.wall - r.pull }, "%.1f s"),
					cell(func(r storageResult) float64 { return r.disk }, "%.0f MB"),
					cell(func(r storageResult) float64 { return r.peak }, "%.0f MB"),
					cell(func(r storageResult) float64 { return r.removal }, "%.1f s"))
			}
		}
	}
	fmt.Print(table.String())
	if path := os.Getenv("GSX_BENCH_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
			b.Error(err)
		}
	}
}

func benchmarkBuild(b *testing.B, c storageCase, archive string, layers bool) storageResult {
	b.Helper()
	p := harness.NewPlace(b, harness.Settings{Other: fmt.Sprintf("[storage]\nbackend = %q\ndriver = %q\nsize = \"16GiB\"\novercommit = 8.0\n[container]\nvolumes = [\"%s:/base.tar:ro\"]", c.backend, c.driver, archive)})
	j := harness.Job(b, "buildah", storageBuild(layers)...)
	j.Timeout = 0
	s := p.Ready(b, j)
	call := s.Run(b.Context(), runner.StageBuild)
	if call.Err != nil {
		b.Fatal(call)
	}
	var wall, pull, disk, peak float64
	text := call.Output.String()
	if i := strings.LastIndex(text, "\nresult "); i < 0 {
		b.Fatal(call)
	} else if _, err := fmt.Sscanf(text[i:], "\nresult %f %f %f %f", &wall, &pull, &disk, &peak); err != nil {
		b.Fatal(err, call)
	}
	// What the job's log says must be what is measured.
	if want := fmt.Sprintf("Storage: driver %s on %s, ", c.driver, c.backend); !strings.Contains(text, want) {
		b.Fatalf("no %q in\n%s", want, call)
	}
	removed := s.Cleanup()
	if removed.Err != nil {
		b.Fatal(removed)
	}
	b.Logf("%s %s, layers %t: %.1f s (%.1f s the pull), %.0f MB, peak %.0f MB, removal %.1f s", filepath.Base(c.backend), c.driver, layers, wall/1000, pull/1000, disk/1024, peak/1024, removed.Duration.Seconds())
	return storageResult{wall / 1000, pull / 1000, disk / 1024, peak / 1024, removed.Duration.Seconds()}
}

func medianOf(all []storageResult, what func(storageResult) float64) float64 {
	var values []float64
	for _, r := range all {
		values = append(values, what(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
