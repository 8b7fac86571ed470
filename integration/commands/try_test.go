package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
)

// localImages is for what takes the configuration's pull policy: test images
// are in no registry.
const localImages = `pull_policy = ["if-not-present"]`

// A build through `try`, which needs no Runner.
func TestTryBuilds(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: localImages})
	reference := harness.Image(t, "buildah")
	compare := p.Unchanged(t)
	args := append([]string{"try"}, p.Runner.Driver.ConfigArgs[1:]...)
	args = append(args, "--image", reference, "--variable", "GREETING=hello from try", "--", strings.Join(append(harness.BuildScript(), `echo "$GREETING"`), "\n"))
	out, err := harness.Command(5*time.Minute, harness.World.Binary, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	harness.WantBuilt(t, string(out))
	if !strings.Contains(string(out), "\nhello from try\n") {
		t.Errorf("the variable did not arrive:\n%s", out)
	}
	compare()
}

func TestTryGivesTheScriptsExitCode(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: localImages})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Rel(here, p.Runner.Driver.ConfigArgs[2]) // what people type
	if err != nil {
		t.Fatal(err)
	}
	out, err := harness.Command(2*time.Minute, harness.World.Binary, "try", "--config", config, "--image", harness.Image(t, "bookworm"), "--", "exit 42")
	if err == nil || !strings.Contains(err.Error(), "exit status 42") {
		t.Errorf("%v\n%s", err, out)
	}
}
