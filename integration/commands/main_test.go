// Package commands tests the commands that people type.
package commands

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
