package jobs

import (
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/table"
)

// The jobs that run alike on every backend.
func TestRowTable(t *testing.T) {
	t.Parallel()
	table.Run(t, table.Backend{
		Job:      harness.Job,
		Place:    func(t testing.TB, run string) *harness.Place { return harness.NewPlace(t, harness.Settings{Run: run}) },
		Parallel: true,
	})
}
