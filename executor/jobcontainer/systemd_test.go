package jobcontainer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

// The setting of the job or service comes first, then the image's label, then the command.
func TestSystemdArgs(t *testing.T) {
	yes, no := true, false
	boots := ImageProcess{Command: []string{"/sbin/init"}}
	for name, c := range map[string]struct {
		first  FirstProcess
		image  ImageProcess
		wanted bool
		said   string
	}{
		"nothing":                {FirstProcess{}, ImageProcess{Command: []string{"bash"}}, false, ""},
		"the image's command":    {FirstProcess{}, boots, true, ""},
		"in a shell":             {FirstProcess{}, ImageProcess{Command: []string{"sh", "-c", "exec /sbin/init"}}, true, `The command "sh -c exec /sbin/init" starts systemd`},
		"a service's command":    {FirstProcess{Name: "x:1", Command: []string{"sh", "-c", "exec /sbin/init"}}, ImageProcess{Command: []string{"bash"}}, true, "Service x:1: The command"},
		"a command instead":      {FirstProcess{Command: []string{"sleep", "1"}}, boots, false, ""},
		"an entrypoint instead":  {FirstProcess{Entrypoint: []string{"sleep"}, Command: []string{"1"}}, boots, false, ""},
		"entrypoint and command": {FirstProcess{Entrypoint: []string{"sh", "-c"}, Command: []string{"exec /sbin/init"}}, ImageProcess{}, true, "starts systemd in a way"},
		"cleared":                {FirstProcess{Entrypoint: []string{""}}, boots, false, ""},
		"behind an entrypoint":   {FirstProcess{}, ImageProcess{Entrypoint: []string{"/start"}, Command: []string{"/sbin/init"}}, false, `behind the entrypoint "/start"`},
		"asked for":              {FirstProcess{Systemd: &yes}, ImageProcess{Entrypoint: []string{"/start"}}, true, `The entrypoint "/start" is not run`},
		"asked not to":           {FirstProcess{Systemd: &no}, boots, false, ""},
		"by the label":           {FirstProcess{}, ImageProcess{Systemd: "true"}, true, ""},
		"the label says no":      {FirstProcess{}, ImageProcess{Command: boots.Command, Systemd: "false"}, false, ""},
		"a word beats the label": {FirstProcess{Systemd: &no}, ImageProcess{Systemd: "true"}, false, ""},
	} {
		var said bytes.Buffer
		log := logrus.New()
		log.SetOutput(&said)
		log.SetFormatter(&logrus.TextFormatter{DisableQuote: true})
		_, wanted := c.first.systemd(log, c.image)
		if wanted != c.wanted || !strings.Contains(said.String(), c.said) || c.said == "" && said.Len() > 0 {
			t.Errorf("%s: %t, said %q", name, wanted, said.String())
		}
	}
}
