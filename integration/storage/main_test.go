// Package storage tests the volumes of jobs: the storage volume with its backends and
// limits, and the kept volumes.
package storage

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
