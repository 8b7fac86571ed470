package removal

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Each stage of a job with a kept storage volume is killed at every write of the journal. After one more cleanup
// the project's next job has the whole volume or an empty one, and nothing else is left.
func TestKillMatrixKeptStorage(t *testing.T) {
	t.Parallel()
	for stage, least := range map[string]int{"prepare": 10, "cleanup": 8} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"1GiB\"\nkeep = \"project\"\n"})
			project := harness.NewProject()
			marking := func() runner.Job {
				j := killMatrixJob(t)
				j.ProjectID = project
				j.Script = []string{harness.Lines("cd /var/lib/containers", "touch mark", "echo; echo begins: $(grep -c begin mark) ends: $(grep -c end mark)", "echo begin >>mark", "echo end >>mark")}
				return j
			}
			n, step, whole := 1, harness.Step(9), 0
			for ; ; n += step {
				p.Succeed(t, marking())
				j := marking()
				var call *runner.Call
				if stage == "prepare" {
					call = killing(t, p, n).Session(t, j).Prepare(t.Context())
				} else {
					s := p.Ready(t, j)
					for _, stage := range []string{runner.StageBuild, "cleanup_file_variables"} {
						if call := s.Run(t.Context(), stage); call.Err != nil {
							t.Fatal(call)
						}
					}
					call = killing(t, p, n).Session(t, j).Cleanup()
				}
				harness.WantCleanup(t, p.Session(t, j))
				r := p.Succeed(t, marking())
				begins, ends := -1, -1
				if _, found, ok := strings.Cut(r.Call(runner.StageBuild).Output.String(), "\nbegins: "); ok {
					_, _ = fmt.Sscanf(found, "%d ends: %d", &begins, &ends) // a failure leaves -1
				}
				if begins < 0 || begins != ends {
					t.Errorf("%d begins, %d ends\n%s", begins, ends, r)
				}
				if begins > 0 {
					whole++
				}
				for _, folder := range []string{"taken", "gone"} {
					if left, _ := filepath.Glob(filepath.Join(p.StateDir, "volumes", folder, "*")); len(left) > 0 {
						t.Errorf("left: %v", left)
					}
				}
				if t.Failed() {
					t.Fatalf("%s was killed at point %d\n%s", stage, n, call)
				}
				if call.Err == nil {
					break
				}
				if call.Signal != syscall.SIGKILL {
					t.Fatal(call)
				}
			}
			if n <= least {
				t.Errorf("%s passed only %d points", stage, n-1)
			}
			fmt.Printf("%s was killed at %d points; %d of the next jobs had a whole volume, the others an empty one\n", stage, (n-1)/step, whole)
		})
	}
}
