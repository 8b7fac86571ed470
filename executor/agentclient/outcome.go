package agentclient

import (
	"bytes"

	"gitlab-sysbox-executor/executor/agent"
)

// longestLine is more than an outcome is long, in bytes, and mostSaid is how much is
// kept of what else an agent says.
const (
	longestLine = 64 << 10
	mostSaid    = 4 << 10
)

// outcomeReader takes the outcome from what the agent says on standard error and
// calls found once it is there. The job's GODEBUG makes Go's runtime say things there,
// too, and root in the container may write there: an outcome is a line
// with the order's nonce in it.
type outcomeReader struct {
	nonce   string
	found   func()
	outcome *agent.Outcome
	line    []byte // of which the end has not come yet
	tooLong bool   // that line is no outcome
	said    []byte // the end of what is none
}

func (r *outcomeReader) Write(p []byte) (int, error) {
	for piece := range bytes.Lines(p) {
		if len(r.line)+len(piece) > longestLine {
			r.tooLong = true
		}
		if !r.tooLong {
			r.line = append(r.line, piece...)
		}
		ends := bytes.HasSuffix(piece, []byte("\n"))
		if !ends || r.tooLong || !r.take() {
			r.said = append(r.said, piece[max(0, len(piece)-mostSaid):]...)
			r.said = append(r.said[:0], r.said[max(0, len(r.said)-mostSaid):]...)
		}
		if ends {
			r.line, r.tooLong = r.line[:0], false
		}
	}
	return len(p), nil
}

// take takes the line for the outcome, if it is one.
func (r *outcomeReader) take() bool {
	var o agent.Outcome
	if r.outcome != nil || !bytes.Contains(r.line, []byte(r.nonce)) || decode(r.line, &o) != nil || o.Nonce != r.nonce {
		return false
	}
	r.outcome = &o
	r.found()
	return true
}
