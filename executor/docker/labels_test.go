package docker

import (
	"testing"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// Of the labels in lists of containers the engine's client keeps those that we set.
func TestListsHoldOurLabels(t *testing.T) {
	if engine.LabelPrefix != job.LabelPrefix {
		t.Errorf("%q is not %q", engine.LabelPrefix, job.LabelPrefix)
	}
}
