// Package services tests the services of jobs.
package services

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
