package runner

import (
	"fmt"
	"strings"
)

// Result is a job that has ended.
type Result struct {
	Job       Job
	Calls     []*Call
	Abandoned []*Process // calls that even SIGKILL did not end
	Outcome   Outcome
	ExitCode  int // of the job's script, when Outcome is ScriptFailure
	Err       error
	Log       *Output
}

// Stages are the names of all calls, in their order.
func (r *Result) Stages() []string {
	var names []string
	for _, c := range r.Calls {
		names = append(names, c.Stage)
	}
	return names
}

// Call is the last call of a stage, nil without one.
func (r *Result) Call(stage string) *Call {
	var last *Call
	for _, c := range r.Calls {
		if c.Stage == stage {
			last = c
		}
	}
	return last
}

// String is the job's log, call by call, for a failed test's message.
func (r *Result) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "job %d: %s %d (%v)\n", r.Job.ID, r.Outcome, r.ExitCode, r.Err)
	for _, c := range r.Calls {
		fmt.Fprintf(&text, "== %s", c)
	}
	for _, p := range r.Abandoned {
		fmt.Fprintf(&text, "== still running: %s\n%s", p.call.Stage, p.call.Output)
	}
	return text.String()
}
