package stages

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/storage"

	"github.com/containerd/errdefs"
)

func TestOutcome(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	system := func(c accounting.Class) accounting.Outcome {
		return accounting.Outcome{Result: accounting.SystemFailure, Class: c}
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		gone bool
		step observe.Step
		want accounting.Outcome
	}{
		"nothing":               {err: nil, want: accounting.Outcome{Result: accounting.Success}},
		"done before the end":   {ctx: canceled, err: nil, want: accounting.Outcome{Result: accounting.Success}},
		"a script":              {err: fmt.Errorf("x: %w", &executor.ScriptError{Code: 3}), want: accounting.Outcome{Result: accounting.ScriptFailure}},
		"a stopped script":      {ctx: canceled, err: &executor.ScriptError{Stopped: true}, want: accounting.Outcome{Result: accounting.Canceled}},
		"a stopped prepare":     {ctx: canceled, err: errors.New("x"), step: observe.Images, want: accounting.Outcome{Result: accounting.Canceled}},
		"without a Runner":      {ctx: canceled, gone: true, err: &executor.ScriptError{Stopped: true}, want: system(accounting.RunnerGone)},
		"the job's fault":       {err: fmt.Errorf("x: %w", fault.Jobf("no image")), step: observe.Images, want: accounting.Outcome{Result: accounting.JobFault}},
		"a full disk":           {err: fmt.Errorf("x: %w", &storage.NoRoom{}), step: observe.Admit, want: system(accounting.Disk)},
		"an engine without end": {err: fmt.Errorf("x: %w", context.DeadlineExceeded), step: observe.Start, want: system(accounting.Engine)},
		"a silent cluster":      {err: fmt.Errorf("x: %w", errdefs.ErrUnavailable), step: observe.Start, want: system(accounting.Engine)},
		"a stopped container":   {err: &executor.StoppedError{Stage: "build_script"}, want: system(accounting.ContainerStopped)},
		"in a step of prepare":  {err: errors.New("x"), step: observe.Helper, want: system("prepare_helper")},
		"something else":        {err: errors.New("x"), want: system(accounting.Other)},
	} {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		if got := outcome(c.ctx, c.err, c.gone, c.step); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Each class that a stage can have is one that the counters know from the beginning.
func TestClassesAreKnown(t *testing.T) {
	known := map[accounting.Class]bool{}
	for _, c := range accounting.Classes() {
		known[c] = true
	}
	for _, s := range append([]observe.Step{""}, observe.Steps...) {
		if c := class(errors.New("x"), s); !known[c] {
			t.Errorf("%s of step %q", c, s)
		}
	}
}
