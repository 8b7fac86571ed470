package agentsocket

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/integration/heap"
)

// Whatever writes in place of the first process, a response takes little memory.
func FuzzResponses(f *testing.F) {
	for _, text := range []string{
		"{}\n{\"code\":137}\n", "{\"error\":\"" + strings.Repeat("e", longestResponse) + "\"}\n", "{\"error\":\"no such file or directory\"}\n", "{}\n{\"code\":99999999999999999999}\n", "{\"code\":-1}\n\n", "{", "\n\n", "null\nnull\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		r := bufio.NewReaderSize(bytes.NewReader(text), longestResponse)
		var s agent.Started
		err := read(r, &s)
		if end := bytes.IndexByte(text, '\n'); (end < 0 || end >= longestResponse) && err == nil {
			t.Errorf("%d bytes are a response: %+v", len(text), s)
		}
		var e agent.Ended
		_ = read(r, &e) // it may be anything
	})
}
