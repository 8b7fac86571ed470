package agentclient

import (
	"bytes"

	"gitlab-sysbox-executor/executor/agent"
)

// longestLine is larger than any outcome, and mostSaid is how much other output of the agent is
// stored; both are in bytes.
const (
	longestLine = 64 << 10
	mostSaid    = 4 << 10
)

// outcomeReader finds the outcome in the agent's standard error and then calls found. Other
// output comes there, too: from Go's runtime if the job sets GODEBUG, and from root in the
// container. So an outcome is a line that contains the nonce of the request.
type outcomeReader struct {
	nonce   string
	found   func()
	outcome *agent.Outcome
	line    []byte // the current line, which is incomplete
	tooLong bool   // the current line is too long for an outcome
	said    []byte // the end of the other output
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

// take parses the line and reports whether it is the outcome.
func (r *outcomeReader) take() bool {
	var o agent.Outcome
	if r.outcome != nil || !bytes.Contains(r.line, []byte(r.nonce)) || decode(r.line, &o) != nil || o.Nonce != r.nonce {
		return false
	}
	r.outcome = &o
	r.found()
	return true
}
