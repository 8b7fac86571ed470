package cases

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// With the default, which is isolation rootless for root in an image with crun or runc, no run of a command loses its
// output, beside two busy loops: a script can trust $(buildah run ...). `make test-output` runs 2,000 of them. Without
// GSX_OUTPUT_RUNS it is what a minute suffices for.
func TestBuildahLosesNoOutput(t *testing.T) {
	t.Parallel()
	runs, seconds := runsOf(t, 100), 30
	if os.Getenv("GSX_OUTPUT_RUNS") != "" {
		seconds = 0
	}
	for _, image := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			p.Runner.StageTimeout = 3 * time.Hour
			j := harness.Job(t, image, `echo "isolation $BUILDAH_ISOLATION"`, harness.BusyboxContext(),
				"buildah build --quiet --tag base context >/dev/null && buildah from --name c base >/dev/null",
				besideTwo(countLost(runs, seconds, "echo X", 0)), `echo "$lost lost, $wrong fail${fault:+: $fault}"; echo "of $n"`,
				besideTwo(countLost(runs, seconds, "sh -c 'echo X; exit 3'", 3)), `echo "$lost lost, $wrong fail, of a command that fails${fault:+: $fault}"; echo "of $n that fail"`)
			// A reader that is slow after the first byte always loses with chroot what does not fit into its pipe.
			j.Script = append(j.Script, `echo "$(buildah run c -- head -c 120001 /dev/zero | (dd bs=1 count=1 status=none >/dev/null; sleep 5; wc -c)) of 120000"`)
			j.Timeout = 0
			r := p.Succeed(t, j)
			harness.WantLines(t, r, "isolation rootless", "120000 of 120000", "0 lost, 0 fail", "0 lost, 0 fail, of a command that fails")
			if seconds == 0 {
				harness.WantLines(t, r, fmt.Sprintf("of %d", runs), fmt.Sprintf("of %d that fail", runs))
			}
		})
	}
}

// besideTwo runs lines of a script beside two busy loops.
func besideTwo(lines string) string {
	return harness.Lines("for n in 1 2; do (while :; do :; done) & busy=\"$busy $!\"; done", lines, "kill $busy; busy=; wait")
}

// countLost runs `buildah run c COMMAND` that many times, or as often as so many seconds suffice for, but at least three
// times; 0 seconds set no limit. It counts in $lost how often the output was not "X" although the exit status was right,
// and in $wrong how often the status was another; $fault is what Buildah said last then. $n is how often it ran.
// /tmp/count says how far it is.
func countLost(runs, seconds int, command string, status int) string {
	limit := ""
	if seconds > 0 {
		limit = fmt.Sprintf(" && { [ $n -lt 3 ] || [ $SECONDS -lt $((began + %d)) ]; }", seconds)
	}
	return harness.Lines("lost=0 wrong=0 fault= n=0 began=$SECONDS",
		fmt.Sprintf("while [ $n -lt %d ]%s; do", runs, limit),
		fmt.Sprintf("  n=$((n + 1)) status=0; out=$(buildah run c -- %s 2>/tmp/fault) || status=$?", command),
		fmt.Sprintf(`  if [ $status != %d ]; then wrong=$((wrong + 1)) fault=$(tail -n 1 /tmp/fault | tr ';' ,); elif [ "$out" != X ]; then lost=$((lost + 1)); fi`, status),
		`  echo "$lost lost, $wrong wrong of $n: $fault" >/tmp/count`,
		"done")
}

// runsOf is the number in the environment, or less.
func runsOf(t testing.TB, less int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("GSX_OUTPUT_RUNS"), strconv.Itoa(less)))
	if err != nil || n < 1 {
		t.Fatalf("GSX_OUTPUT_RUNS: %v", err)
	}
	return n
}

// isolationCase is a row of the table of docs/cases/buildah.md.
type isolationCase struct{ image, user, isolation, runtime string }

type isolationResult struct {
	fault        string // why it does not work
	wall         float64
	lost, failed string
	service      string // whether a RUN line finds a service of the job by its name
}

// BenchmarkBuildahIsolations measures the table of docs/cases/buildah.md: what a build costs, one isolation
// after the other, and then what each loses, three at once beside two busy loops. GSX_OUTPUT_RUNS is
// the number of runs (1,000). GSX_OUTPUT_ONLY is a list of texts, with commas; rows that have none of them are left
// out.
func BenchmarkBuildahIsolations(b *testing.B) {
	runs := runsOf(b, 1000)
	only := strings.Split(os.Getenv("GSX_OUTPUT_ONLY"), ",")
	var cases []isolationCase
	for _, image := range []string{"buildah-runc", "buildah-runc-trixie"} {
		for _, user := range []string{"root", "builder"} {
			for _, how := range [][2]string{{"chroot", ""}, {"oci", "crun"}, {"oci", "runc"}, {"rootless", "crun"}} {
				c := isolationCase{image, user, how[0], how[1]}
				if slices.ContainsFunc(only, func(text string) bool { return strings.Contains(c.String(), text) }) {
					cases = append(cases, c)
				}
			}
		}
	}
	for b.Loop() {
		found := make([]isolationResult, len(cases))
		for n, c := range cases {
			found[n] = c.build(b)
			fmt.Println(c.row(found[n]))
		}
		for range 2 {
			busy := exec.CommandContext(b.Context(), "sh", "-c", "while :; do :; done")
			if err := busy.Start(); err != nil {
				b.Fatal(err)
			}
			defer busy.Wait()
			defer busy.Process.Kill()
		}
		var counting sync.WaitGroup
		slots := make(chan struct{}, 3)
		for n, c := range cases {
			if found[n].fault == "" {
				counting.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					found[n].lost, found[n].failed = c.count(b, runs)
					fmt.Println(c.row(found[n]))
				})
			}
		}
		counting.Wait()
		fmt.Printf("\nOn %s, %d runs, %d of a command that fails:\n\n| Buildah, user, isolation | ten RUN lines | lost | lost, if the command fails | finds a service |\n|---|---|---|---|---|\n",
			harness.World.Runtime, runs, ofFailing(runs))
		for n, c := range cases {
			fmt.Println(c.row(found[n]))
		}
	}
}

// ofFailing is how many of so many runs are repeated with a command that fails.
func ofFailing(runs int) int { return max(runs/5, 1) }

func (c isolationCase) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.image, c.user, c.isolation, c.runtime))
}

func (c isolationCase) row(r isolationResult) string {
	if r.fault != "" {
		return fmt.Sprintf("| %s | `%s` | | | |", c, r.fault)
	}
	return fmt.Sprintf("| %s | %.1f s | %s | %s | %s |", c, r.wall, r.lost, r.failed, r.service)
}

// play runs a job that has an image "base" and a container "c" of it, and returns the line that begins with
// the word, without it.
func (c isolationCase) play(b *testing.B, word string, script ...string) string {
	b.Helper()
	p := harness.NewPlace(b, harness.Settings{})
	p.Runner.StageTimeout = 3 * time.Hour
	j := harness.With(harness.Job(b, c.image, append([]string{
		harness.BusyboxContext(),
		// The first image is made with the isolation that works everywhere.
		"buildah build --isolation chroot --quiet --tag base context >/dev/null && buildah from --name c base >/dev/null",
	}, script...)...), runner.Var("BUILDAH_ISOLATION", c.isolation))
	if c.runtime != "" {
		j = harness.With(j, runner.Var("BUILDAH_RUNTIME", c.runtime))
	}
	j.Image.User, j.Timeout = c.user, 0
	j.Services = []runner.Image{harness.ShellService(b, "web", harness.Stay)}
	s := p.Ready(b, j)
	defer s.Cleanup()
	call := s.Run(b.Context(), runner.StageBuild)
	for line := range strings.Lines(call.Output.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok && call.Err == nil {
			return rest
		}
	}
	b.Error(c, call)
	return ""
}

func (c isolationCase) build(b *testing.B) (r isolationResult) {
	b.Helper()
	line := c.play(b, "result",
		`fault() { echo "result fault $(tail -n 3 "$1" | paste -sd' ')"; exit 0; }`,
		"buildah run c -- echo X >out 2>&1 || fault out",
		harness.Lines("cat >context/Dockerfile <<'END'", "FROM base", strings.Repeat("RUN echo line >>/log\n", 10)+"END"),
		"began=$(date +%s%N); buildah build --quiet --tag ten context >log 2>&1 || fault log; ended=$(date +%s%N)",
		"until getent hosts web >/dev/null; do sleep 0.1; done; address=$(getent hosts web | cut -d' ' -f1)",
		`if buildah run c -- sh -c "nslookup web | grep -q $address" >/dev/null 2>&1; then found=yes; else found=no; fi`,
		`echo "result $((ended - began)) $found"`,
	)
	if fault, ok := strings.CutPrefix(line, "fault "); ok {
		return isolationResult{fault: fault}
	}
	if n, _ := fmt.Sscanf(line, "%f %s", &r.wall, &r.service); n != 2 {
		return isolationResult{fault: "the measurement failed"}
	}
	r.wall /= 1e9
	return r
}

// count counts how many runs of a command lost its output, and how many of a command that fails.
func (c isolationCase) count(b *testing.B, runs int) (lost, failed string) {
	b.Helper()
	line := c.play(b, "lost",
		countLost(runs, 0, "echo X", 0), `first="$lost;$wrong $fault"`,
		countLost(ofFailing(runs), 0, "sh -c 'echo X; exit 3'", 3), `echo "lost $first;$lost;$wrong $fault"`,
	)
	counts := strings.Split(line, ";")
	if len(counts) != 4 {
		b.Errorf("%s: no count: %q", c, line)
		return "", ""
	}
	counted := func(lost, wrong string) string {
		if strings.HasPrefix(wrong, "0 ") || wrong == "0" {
			return lost
		}
		return fmt.Sprintf("%s (other exit status: %s)", lost, wrong)
	}
	return counted(counts[0], counts[1]), counted(counts[2], counts[3])
}
