package removal

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Prepare and cleanup of a job with a kept storage volume are killed at every write of the journal. After one
// more cleanup the next job has the whole volume or an empty one, and nothing else is left.
func TestKillMatrixKeptStorage(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"prepare", "cleanup"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"1GiB\"\nkeep = \"project\"\n"})
			project := harness.NewProject()
			marking := func() runner.Job {
				j := killMatrixJob(t)
				j.ProjectID = project
				// Each job adds a whole mark: a begin and an end.
				j.Script = []string{harness.Lines("cd /var/lib/containers", "echo begins: $(grep -c begin mark) ends: $(grep -c end mark)", "echo begin >>mark", "echo end >>mark")}
				return j
			}
			n, step := 1, harness.Step(9)
			for ; ; n += step {
				p.Succeed(t, marking())
				j := marking()
				var call *runner.Call
				if stage == "prepare" {
					call = killing(t, p, n).Session(t, j).Prepare(t.Context())
				} else {
					s := p.Session(t, j)
					for _, c := range []*runner.Call{s.Prepare(t.Context()), s.Run(t.Context(), runner.StageBuild), s.Run(t.Context(), "cleanup_file_variables")} {
						if c.Err != nil {
							t.Fatal(c)
						}
					}
					call = killing(t, p, n).Session(t, j).Cleanup()
				}
				harness.WantCleanup(t, p.Session(t, j))
				r := p.Succeed(t, marking())
				if text := r.Call(runner.StageBuild).Output.String(); !wholeMarks(text) {
					t.Errorf("not whole\n%s", r)
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
			if n < 8 {
				t.Errorf("%s passed only %d points", stage, n-1)
			}
		})
	}
}

// wholeMarks reports whether a job found as many begins as ends.
func wholeMarks(text string) bool {
	_, rest, ok := strings.Cut(text, "\nbegins: ")
	line, _, _ := strings.Cut(rest, "\n")
	begins, ends, _ := strings.Cut(line, " ends: ")
	return ok && begins == ends
}
