// Package images tests which images jobs get, how they are pulled, and the shared images.
package images

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m))
}
