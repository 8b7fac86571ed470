package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/storage"
)

// The configuration imports nothing of ours, so it has these places by their
// text: that they are the same is seen here.
func TestNoVolumeOverOurMounts(t *testing.T) {
	places := []string{agent.Dir, storage.Mountpoint, storage.ShortMountpoint}
	for _, f := range (storage.Settings{}).Files() {
		places = append(places, f.Path)
	}
	for _, place := range places {
		file := filepath.Join(t.TempDir(), "config.toml")
		text := fmt.Sprintf("[container]\nvolumes = [\"/srv:%s\"]\n", place)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(file); err == nil || !strings.Contains(err.Error(), "the target overlaps "+place) {
			t.Errorf("%s: %v", place, err)
		}
	}
}
