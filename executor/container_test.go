package executor

import (
	"io"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/storage"
)

// An administrator's volume on a place of ours would make every job fail.
func TestOurMountsAreReserved(t *testing.T) {
	log := logrus.New()
	log.Out = io.Discard
	x := &Executor{StateDir: t.TempDir(), Log: log}
	p := Plan{images: Generation{Volume: "images"}}
	p.Folders.cacheMountsVolume = "cache-mounts"
	yes := true
	c := engine.Container{Mounts: x.sharedMounts(p)}
	x.arrangeSystemd(p, firstProcess{Systemd: &yes}, engine.Image{}, &c)
	if len(c.Mounts) < 12 {
		t.Errorf("%d mounts", len(c.Mounts))
	}
	for _, m := range c.Mounts {
		if m.Target == "" || m.Target == storage.Mountpoint { // the job's folders, and what has a reason of its own
			continue
		}
		if place, _ := config.Reserved(m.Target); place == "" {
			t.Errorf("a volume may be mounted on %s", m.Target)
		}
	}
}
