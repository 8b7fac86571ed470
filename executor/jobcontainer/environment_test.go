package jobcontainer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// The job's scripts get the isolation whose trial succeeded. Otherwise a line says why builds keep the other.
func TestIsolationIsSettled(t *testing.T) {
	for name, c := range map[string]struct {
		found    agent.InspectResponse
		set      string
		reported string
	}{
		"it works":                    {agent.InspectResponse{Isolation: "rootless"}, "rootless", ""},
		"it does not":                 {agent.InspectResponse{IsolationFault: "no crun"}, "", "Builds use isolation chroot, which may lose the output of RUN lines, because rootless does not work here: no crun."},
		"nothing builds, or no trial": {agent.InspectResponse{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			log := logrus.New()
			log.SetOutput(&said)
			p := job.Plan{Storage: storage.Settings{Driver: "vfs", TMPDIR: "/t", Isolation: "chroot", TryIsolation: "rootless"}}
			set := Set(p, Settled(p, c.found, storage.Stores{}, log))
			if set["BUILDAH_ISOLATION"] != c.set || set["STORAGE_DRIVER"] != "vfs" {
				t.Errorf("%v", set)
			}
			if !strings.Contains(said.String(), c.reported) || (c.reported == "") != (said.Len() == 0) {
				t.Errorf("%s", &said)
			}
		})
	}
}

// A user other than root gets its own settings of container tools unless the job has chosen others.
func TestRootlessDefaults(t *testing.T) {
	got := RootlessDefaults(nil)
	if _, same := got["BUILDKITD_FLAGS"]; same || got["CONTAINERS_CONF"] != sysbox.RootlessContainersFile {
		t.Error(got)
	}
	if got, set := RootlessDefaults([]string{"CONTAINERS_CONF=/mine"})["CONTAINERS_CONF"]; set {
		t.Error(got)
	}
}
