package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/storage"
)

// What a job's container said of its volume is cut to what is possible, also where it
// is read back: a version before may have written it down as it was.
func TestVolumeStateIsPossible(t *testing.T) {
	x := &Executor{StateDir: t.TempDir(), Log: logrus.New()}
	if err := os.MkdirAll(filepath.Join(x.StateDir, "jobs", "job"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ written, want VolumeState }{
		"the truth":           {VolumeState{Claim: storage.Claim{Limit: 100, Used: 5}, Hard: true, Peak: 7, Base: 3}, VolumeState{Claim: storage.Claim{Limit: 100, Used: 5}, Hard: true, Peak: 7, Base: 3}},
		"less than nothing":   {VolumeState{Claim: storage.Claim{Limit: 100, Used: -1e18}, Hard: true, Peak: -1, Base: -1}, VolumeState{Claim: storage.Claim{Limit: 100}, Hard: true}},
		"more than there is":  {VolumeState{Claim: storage.Claim{Limit: 100, Used: 9e18}, Hard: true, Peak: 9e18, Base: 101}, VolumeState{Claim: storage.Claim{Limit: 100, Used: 100}, Hard: true, Peak: 100, Base: 100}},
		"no limit":            {VolumeState{Claim: storage.Claim{Limit: -5, Used: 9e18}, Peak: 9e18}, VolumeState{}},
		"a folder of no disk": {VolumeState{Claim: storage.Claim{Limit: 100, Used: 500}}, VolumeState{Claim: storage.Claim{Limit: 100, Used: 100}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := x.setVolumeState("job", c.written); err != nil {
				t.Fatal(err)
			}
			if got, err := x.VolumeState("job"); err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	// A folder on the engine's disk has no limit of its own: the disk's is one.
	disk, err := storage.DiskPool(x.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for used, want := range map[int64]int64{5000: 5000, 9e18: disk.Size} {
		if err := x.setVolumeState("job", VolumeState{Claim: storage.Claim{Limit: 100, Used: used, Mountpoint: x.StateDir}}); err != nil {
			t.Fatal(err)
		}
		if got, err := x.VolumeState("job"); err != nil || got.Used != want {
			t.Errorf("got %+v, %v, want %d used", got, err, want)
		}
	}
}

// What the agent says a script used is noted as far as it is possible.
func TestUsageIsPossible(t *testing.T) {
	x := &Executor{StateDir: t.TempDir(), Log: logrus.New()}
	i := Identity{Server: "https://gitlab.example.com", ProjectID: 1, JobID: 2}
	if err := os.MkdirAll(x.folder(i), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := x.setVolumeState(i.Name(), VolumeState{Claim: storage.Claim{Limit: 100}, Hard: true}); err != nil {
		t.Fatal(err)
	}
	x.tellUsage(i, &agent.Usage{Used: -1e18, Peak: 9e18}, true)
	text, err := os.ReadFile(filepath.Join(x.folder(i), "volume.json"))
	if err != nil || !strings.Contains(string(text), `"peak":100`) || strings.Contains(string(text), `"used"`) {
		t.Errorf("%s %v", text, err)
	}
}
