package docker

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// A configured volume at one of our mount points would make every job fail.
func TestOurMountsAreReserved(t *testing.T) {
	log := logrus.New()
	log.Out = io.Discard
	b := &Backend{Dir: statedir.Dir(t.TempDir()), Log: log}
	m := &made{generation: shared.Generation{Volume: "images"}, taken: kept.Taken{CacheMounts: "cache-mounts"}}
	if err := b.makeFolder(m.Plan); err != nil {
		t.Fatal(err)
	}
	yes := true
	settings, err := b.writeSettings(m.Identity, "job", m.Storage, jobcontainer.CertainLimits(m.Resources))
	if err != nil {
		t.Fatal(err)
	}
	mounts, _ := m.shares(nil, b.sharedMount(m.Identity))
	c := engine.Container{Mounts: append(mounts, settings...)}
	if err := b.arrangeSystemd(m.Plan, jobcontainer.FirstProcess{Systemd: &yes}, engine.Image{}, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Mounts) < 12 {
		t.Errorf("%d mounts", len(c.Mounts))
	}
	for _, m := range c.Mounts {
		if m.Target == "" || m.Target == storage.Mountpoint { // the job's folders, and paths that are refused for another reason
			continue
		}
		if place, _ := config.Reserved(m.Target); place == "" {
			t.Errorf("a volume may be mounted on %s", m.Target)
		}
	}
}

// The engine reports its data folder. A symbolic link to it must be refused, too.
func TestHostileNoVolumeShowsTheEnginesData(t *testing.T) {
	dir := t.TempDir()
	root, link := filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for volume, shows := range map[string]bool{
		root + ":/v:ro": true, link + "/volumes:/v": true, dir + ":/v": true, dir + "/database:/v": false, "data:/v": false, root: false,
	} {
		p := job.Plan{Container: config.Container{Volumes: []string{"/srv:/x", volume}}}
		if err := keepDataRoot(p, root); (err != nil) != shows || err != nil && !strings.Contains(err.Error(), root+", where") {
			t.Errorf("%s: %v", volume, err)
		}
		p.Hardening.AllowUnsafe = true
		if err := keepDataRoot(p, root); err != nil {
			t.Errorf("%s with a leave: %v", volume, err)
		}
	}
}

// If networks are not isolated, a job that can derive an address from another job's
// number can reach that job.
func TestHostileIPv6(t *testing.T) {
	p := job.Plan{Network: config.Network{IPv6: true}}
	first, second := jobNetwork(p).Subnet6, jobNetwork(p).Subnet6
	prefix, err := netip.ParsePrefix(first)
	if err != nil || prefix.Bits() != 64 || !prefix.Addr().IsPrivate() || first == second {
		t.Errorf("%s, then %s: %v", first, second, err)
	}
	old, recent := engine.Info{Version: "26.1.5"}, engine.Info{Version: "27.0.1", IPv6Apart: true}
	if err := checkIPv6(p, old); err == nil || !strings.Contains(err.Error(), "Docker Engine 26.1.5 does not keep") {
		t.Error(err)
	}
	leave := p
	leave.Hardening.AllowUnsafe = true
	for _, err := range []error{checkIPv6(p, recent), checkIPv6(leave, old), checkIPv6(job.Plan{}, old)} {
		if err != nil {
			t.Error(err)
		}
	}
}
