package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gitlab-sysbox-executor/integration/harness"
)

// The commands that people type, each on the real binary and the real engine.
// A script finds the binary on its PATH, a configuration in config.toml, and in
// $IMAGE an image that the engine has.
func TestCommands(t *testing.T) {
	t.Parallel()
	reference := harness.Image(t, "bookworm")
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "scripts"),
		Setup: func(e *testscript.Env) error {
			state := filepath.Join(e.WorkDir, "state")
			for _, dir := range []string{filepath.Dir(e.WorkDir), e.WorkDir} { // a remapped root has to reach it
				if err := os.Chmod(dir, 0o755); err != nil {
					return err
				}
			}
			e.Setenv("PATH", filepath.Dir(harness.World.Binary)+":"+e.Getenv("PATH")+":/usr/sbin:/sbin")
			e.Setenv("IMAGE", reference)
			e.Setenv("HOST", harness.World.Engine.Host)
			e.Setenv("RUNTIME", harness.World.Runtime)
			text := fmt.Sprintf("runtime = %q\nstate_dir = %q\n[engine]\nhost = %q\n[job]\npull_policy = [\"if-not-present\"]\n[gc]\ninterval = \"0s\"\nkeep_volumes = \"0s\"\n",
				harness.World.Runtime, state, harness.World.Engine.Host)
			return os.WriteFile(filepath.Join(e.WorkDir, "config.toml"), []byte(text), 0o644)
		},
	})
}
