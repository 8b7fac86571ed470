package jobcontainer

import (
	"testing"

	"gitlab-sysbox-executor/executor/sysbox"
)

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
