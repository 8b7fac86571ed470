package jobcontainer

import (
	"encoding/json"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"slices"
	"strings"
	"testing"
)

// The request is one argument on a command line, whose length Linux limits.
func TestInitOrderFitsOneWord(t *testing.T) {
	for character, ok := range map[string]bool{"&": true, "<": true, "ü": true, "\u2028": false, "\x01": false} {
		given := agent.InitRequest{Entrypoint: []string{strings.Repeat(character, 100_000/len(character))}}
		text, err := RequestWord(given)
		if !ok {
			if err == nil || fault.ClassOf(err) != fault.Job || len(err.Error()) > 500 {
				t.Errorf("%q: %.600v", character, err)
			}
			continue
		}
		var got agent.InitRequest
		if err != nil || len(text) > agent.LongestWord || json.Unmarshal([]byte(text), &got) != nil || !slices.Equal(got.Entrypoint, given.Entrypoint) {
			t.Errorf("%q: %d bytes, %v", character, len(text), err)
		}
	}
}
