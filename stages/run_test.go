package stages

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/script"
)

func TestAdaptScript(t *testing.T) {
	to := job.Environment{ANSIQuoting: true, Enforced: map[string]string{"STORAGE_DRIVER": "vfs"}, TMPDIR: "/tmp-of-the-job", Tools: "/tools"}
	var logged bytes.Buffer
	log := logrus.New()
	log.SetOutput(&logged)

	out := string(adaptScript(script.Wrap("export STORAGE_DRIVER=overlay\nexport PATH=/bin\n"), to, "/bin", "build_script", log))
	for _, want := range []string{"STORAGE_DRIVER='\\''vfs'\\''", "TMPDIR='\\''/tmp-of-the-job'\\''", "PATH='\\''/bin:/tools'\\''"} {
		if strings.Count(out, want) != 1 || strings.Index(out, want) < strings.Index(out, "overlay") {
			t.Errorf("no %s after the job's own in %s", want, out)
		}
	}
	if logged.Len() > 0 {
		t.Errorf("logged %s", &logged)
	}

	const unknown = "#!/bin/sh\necho a script of another form\n"
	if out := adaptScript([]byte(unknown), to, "", "build_script", log); string(out) != unknown {
		t.Errorf("an unknown script becomes %s", out)
	}
	for _, want := range []string{"level=warning", "build_script", "STORAGE_DRIVER, TMPDIR", "not a stage script"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("no %q in what is logged: %s", want, &logged)
		}
	}
}
