package sysbox

import (
	"reflect"
	"strings"
	"testing"
)

func TestRecognise(t *testing.T) {
	direct := Command{Systemd: true, Args: []string{}}
	corrected := Command{Systemd: true, Args: []string{}, Corrected: true}
	for name, c := range map[string]struct {
		entrypoint, command []string
		want                Command
	}{
		"nothing":                 {nil, nil, Command{}},
		"a shell":                 {nil, []string{"bash"}, Command{}},
		"direct":                  {nil, []string{"/sbin/init"}, direct},
		"as entrypoint":           {[]string{"/sbin/init"}, nil, direct},
		"with arguments":          {[]string{"/sbin/init"}, []string{"--log-level=err"}, Command{Systemd: true, Args: []string{"--log-level=err"}}},
		"by another name":         {nil, []string{"/lib/systemd/systemd"}, corrected},
		"in a shell":              {nil, []string{"sh", "-c", "exec /sbin/init"}, corrected},
		"in a shell, no exec":     {nil, []string{"/bin/sh", "-c", "/sbin/init"}, corrected},
		"entrypoint is the shell": {[]string{"/bin/bash", "-c"}, []string{"exec /sbin/init"}, corrected},
		"shell with arguments":    {nil, []string{"sh", "-c", " exec  /sbin/init --unit=x.target "}, Command{Systemd: true, Args: []string{"--unit=x.target"}, Corrected: true}},
		"more than init":          {nil, []string{"sh", "-c", "setup && exec /sbin/init"}, Command{}},
		"two lines":               {nil, []string{"sh", "-c", "/sbin/init\nrm"}, Command{}},
		"an expansion":            {nil, []string{"sh", "-c", "exec /sbin/init $ARGS"}, Command{}},
		"another init":            {nil, []string{"/opt/sbin/init"}, Command{}},
		"behind an entrypoint":    {[]string{"/entrypoint"}, []string{"/sbin/init"}, Command{Behind: "/entrypoint"}},
		"shell without a text":    {nil, []string{"sh", "-c"}, Command{}},
		"shell within a shell":    {nil, []string{"sh", "-c", "exec"}, Command{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Recognise(c.entrypoint, c.command); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSystemdConfigQuotes(t *testing.T) {
	got := string(SystemdConfig([]string{"A=1", `TMPDIR=/a b"c\d%e`, "EMPTY="}))
	want := `DefaultEnvironment="A=1" "TMPDIR=/a b\"c\\d%%e" "EMPTY="` + "\n"
	if !strings.HasSuffix(got, want) || !strings.Contains(got, "[Manager]\n") {
		t.Errorf("got %s, want it to end in %s", got, want)
	}
}
