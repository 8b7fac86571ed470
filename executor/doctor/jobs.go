package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/removal"
)

// checkJobs finds what ended jobs have left.
func checkJobs(ctx context.Context, m *Machine) []Finding {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	jobs, err := m.Jobs.Jobs(limited)
	var orphans, left []string
	running := 0
	for _, j := range jobs {
		switch {
		case j.Phase == overview.Orphaned:
			orphans = append(orphans, j.Name)
		case len(j.Left) > 0:
			left = append(left, j.Left...)
		default:
			running++
		}
	}
	var all []Finding
	if len(orphans) > 0 {
		all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%d jobs whose Runner is gone: %s", len(orphans), few(orphans)), Next: "gitlab-sysbox-executor gc", fix: m.gc})
	}
	if len(left) > 0 {
		all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%d leftovers of jobs: %s", len(left), few(left)), Next: "gitlab-sysbox-executor gc; it names what holds them", fix: m.gc})
	}
	switch engineErr := m.reached(ctx); {
	case err != nil && engineErr == nil: // otherwise reported by the check of the engine
		all = append(all, Finding{Severity: Warning, Text: "the jobs on this machine cannot be listed: " + err.Error(), Next: "gitlab-sysbox-executor ps"})
	case len(all) == 0 && engineErr == nil:
		return ok("%d on this machine, and no leftovers", running)
	}
	return all
}

// checkQuarantine finds folders and journals that could not be removed or read.
func checkQuarantine(_ context.Context, m *Machine) []Finding {
	folders, journals := removal.Quarantined(m.state())
	if all := append(folders, journals...); len(all) > 0 {
		return []Finding{{Severity: Warning, Text: fmt.Sprintf("%d folders and journals in quarantine: %s", len(all), few(all)),
			Next: "gitlab-sysbox-executor gc; it names what holds a folder, and removes a journal that could not be read after a week (docs/cleanup.md)", fix: m.gc}}
	}
	return nil
}

// gc removes what no job needs.
func (m *Machine) gc(ctx context.Context) (string, error) {
	all, err := m.Collect(ctx, removal.Options{})
	if errors.Is(err, removal.ErrBusy) {
		return "another gc is at work", nil
	}
	counts := map[removal.Action]int{}
	for _, c := range all {
		counts[c.Action]++
	}
	return fmt.Sprintf("gc: %d removed, %d left", counts[removal.Removed], counts[removal.LeftOver]), err
}

// mostNames limits the names in a message.
const mostNames = 3

// few joins the first names of a list.
func few(names []string) string {
	if len(names) > mostNames {
		return strings.Join(names[:mostNames], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}
