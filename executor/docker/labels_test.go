package docker

import (
	"testing"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// The engine client keeps only our labels in lists of containers.
func TestListsHoldOurLabels(t *testing.T) {
	if engine.LabelPrefix != job.LabelPrefix {
		t.Errorf("%q is not %q", engine.LabelPrefix, job.LabelPrefix)
	}
}
