// Package hostile tests the attacks of docs/security.md.
package hostile

import (
	"os"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("GSX_DIAL_STDIO"); socket != "" {
		os.Exit(dialStdio(socket))
	}
	os.Exit(harness.Main(m))
}
