// Package jobs tests a job's stages: its image, user, environment, sources, limits and end.
package jobs

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
