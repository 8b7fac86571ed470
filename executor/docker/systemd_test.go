package docker

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/sysbox"
)

// The setting of the job or service comes first, then the image's label, then the command.
func TestSystemdArgs(t *testing.T) {
	yes, no := true, false
	boots := engine.Image{Cmd: []string{"/sbin/init"}}
	for name, c := range map[string]struct {
		first  firstProcess
		image  engine.Image
		wanted bool
		said   string
	}{
		"nothing":                {firstProcess{}, engine.Image{Cmd: []string{"bash"}}, false, ""},
		"the image's command":    {firstProcess{}, boots, true, ""},
		"in a shell":             {firstProcess{}, engine.Image{Cmd: []string{"sh", "-c", "exec /sbin/init"}}, true, `The command "sh -c exec /sbin/init" starts systemd`},
		"a service's command":    {firstProcess{Name: "x:1", Command: []string{"sh", "-c", "exec /sbin/init"}}, engine.Image{Cmd: []string{"bash"}}, true, "Service x:1: The command"},
		"a command instead":      {firstProcess{Command: []string{"sleep", "1"}}, boots, false, ""},
		"an entrypoint instead":  {firstProcess{Entrypoint: []string{"sleep"}, Command: []string{"1"}}, boots, false, ""},
		"entrypoint and command": {firstProcess{Entrypoint: []string{"sh", "-c"}, Command: []string{"exec /sbin/init"}}, engine.Image{}, true, "starts systemd in a way"},
		"cleared":                {firstProcess{Entrypoint: []string{""}}, boots, false, ""},
		"behind an entrypoint":   {firstProcess{}, engine.Image{Entrypoint: []string{"/start"}, Cmd: []string{"/sbin/init"}}, false, `behind the entrypoint "/start"`},
		"asked for":              {firstProcess{Systemd: &yes}, engine.Image{Entrypoint: []string{"/start"}}, true, `The entrypoint "/start" is not run`},
		"asked not to":           {firstProcess{Systemd: &no}, boots, false, ""},
		"by the label":           {firstProcess{}, engine.Image{Labels: map[string]string{job.LabelSystemd: "true"}}, true, ""},
		"the label says no":      {firstProcess{}, engine.Image{Cmd: boots.Cmd, Labels: map[string]string{job.LabelSystemd: "false"}}, false, ""},
		"a word beats the label": {firstProcess{Systemd: &no}, engine.Image{Labels: map[string]string{job.LabelSystemd: "true"}}, false, ""},
	} {
		var said bytes.Buffer
		log := logrus.New()
		log.SetOutput(&said)
		log.SetFormatter(&logrus.TextFormatter{DisableQuote: true})
		_, wanted := (&Backend{Log: log}).systemdArgs(c.first, c.image)
		if wanted != c.wanted || !strings.Contains(said.String(), c.said) || c.said == "" && said.Len() > 0 {
			t.Errorf("%s: %t, said %q", name, wanted, said.String())
		}
	}
}

// systemd runs as root. If the configuration does not allow root, no setting, label or
// command boots systemd, neither in the job container nor in a service.
func TestHostileSystemdNeedsRoot(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		first firstProcess
		image engine.Image
	}{
		"asked for":           {firstProcess{Systemd: &yes}, engine.Image{}},
		"the image's command": {firstProcess{}, engine.Image{Cmd: []string{"/sbin/init"}}},
		"by the label":        {firstProcess{}, engine.Image{Labels: map[string]string{job.LabelSystemd: "true"}}},
		"a service's command": {firstProcess{Name: "x:1", Command: []string{"/sbin/init"}}, engine.Image{}},
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
	if err := b.arrangeSystemd(job.Plan{SystemdRefused: "why"}, firstProcess{}, engine.Image{Cmd: []string{"sh"}}, &engine.Container{}); err != nil {
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
