package docker

import (
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/sysbox"
)

// systemd runs as root. If the configuration does not allow root, no setting, label or
// command boots systemd, neither in the job container nor in a service.
func TestHostileSystemdNeedsRoot(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		first jobcontainer.FirstProcess
		image engine.Image
	}{
		"asked for":           {jobcontainer.FirstProcess{Systemd: &yes}, engine.Image{}},
		"the image's command": {jobcontainer.FirstProcess{}, engine.Image{Cmd: []string{"/sbin/init"}}},
		"by the label":        {jobcontainer.FirstProcess{}, engine.Image{Labels: map[string]string{job.LabelSystemd: "true"}}},
		"a service's command": {jobcontainer.FirstProcess{Name: "x:1", Command: []string{"/sbin/init"}}, engine.Image{}},
	} {
		log := logrus.New()
		log.SetOutput(io.Discard)
		b := &Backend{Log: log, Dir: statedir.Dir(t.TempDir())}
		made := engine.Container{User: "1000", Tmpfs: map[string]string{}}
		err := b.arrangeSystemd(job.Plan{SystemdRefused: "job.user is 1000"}, c.first, c.image, &made)
		if fault.ClassOf(err) != fault.Job || err == nil || !strings.Contains(err.Error(), "job.user is 1000") || made.User != "1000" || len(made.Entrypoint) > 0 {
			t.Errorf("%s: %v, %+v", name, err, made)
		}
		if err := b.arrangeSystemd(job.Plan{}, c.first, c.image, &made); err != nil || made.User != "0:0" {
			t.Errorf("%s, as root: %v", name, err)
		}
	}
	// A job that does not boot systemd is not affected.
	b := &Backend{Log: logrus.New()}
	if err := b.arrangeSystemd(job.Plan{SystemdRefused: "why"}, jobcontainer.FirstProcess{}, engine.Image{Cmd: []string{"sh"}}, &engine.Container{}); err != nil {
		t.Error(err)
	}
}

// In a container that boots systemd, each mount has a second target.
func TestWantedMounts(t *testing.T) {
	c := engine.Container{
		Mounts: []engine.Mount{{Kind: engine.Bind, Source: "/", Target: "/run/secrets/x"}, {Kind: engine.Volume, Source: "v", Target: "/builds"}},
		Tmpfs:  map[string]string{"/run/y": "", "/scratch": "size=1m"},
	}
	for systemd, spare := range map[bool]string{false: "", true: sysbox.Spare("/run/y")} {
		c.Entrypoint = nil
		if systemd {
			c.Entrypoint = []string{sysbox.Init}
		}
		all := wantedMounts(c)
		if len(all) != 4 || all[0].Inode == 0 || all[1].Inode != 0 || all[2].Target != "/run/y" || all[2].FSType != "tmpfs" || all[2].Spare != spare || all[3].Spare != "" {
			t.Errorf("%+v", all)
		}
	}
}
