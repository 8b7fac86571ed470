// Package cases tests what docs/cases describes: the programs that build and run
// containers within a job.
package cases

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
