// Package removal tests what removes a job's resources, whatever was killed, busy, full
// or away before: cleanup and gc.
package removal

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
