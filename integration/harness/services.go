package harness

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Service is a service in a test image.
func Service(t testing.TB, imageName, alias string, command ...string) runner.Image {
	t.Helper()
	return runner.Image{Name: Image(t, imageName), Alias: alias, Command: command, PullPolicies: []string{"if-not-present"}}
}

// ShellService is a service of a shell script.
func ShellService(t testing.TB, alias, script string) runner.Image {
	t.Helper()
	return Service(t, "bookworm", alias, "sh", "-c", "trap exit TERM; "+script)
}

// Stay keeps a service's shell there until it is asked to end.
const Stay = "sleep 1000 & wait"

// ServicesOf are the session's service containers, in the order of the job's.
func ServicesOf(t testing.TB, s *runner.Session) []engine.Container {
	t.Helper()
	found, err := World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID), "io.gitlab-sysbox-executor.role=service")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b engine.Object) int { return strings.Compare(a.Name, b.Name) })
	var all []engine.Container
	for _, f := range found {
		c, err := World.Engine.Inspect(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}
