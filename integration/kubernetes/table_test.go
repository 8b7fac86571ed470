package kubernetes

import (
	"fmt"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
	"gitlab-sysbox-executor/integration/table"
)

// The jobs that run alike on every backend.
func TestTable(t *testing.T) {
	table.Run(t, table.Backend{
		Job: func(t testing.TB, image string, script ...string) runner.Job {
			j := job(script...)
			j.Image.Name = fmt.Sprintf("docker.io/gsx-test/%s:latest", image)
			return j
		},
		Place: func(t testing.TB, run string) *harness.Place {
			var further []string
			if run != "" {
				further = append(further, "run."+run)
			}
			p := newPlace(t, further...)
			return &harness.Place{Dir: p.dir, Runner: p.Runner}
		},
	})
	newPlace(t).wantNothing(t)
}
