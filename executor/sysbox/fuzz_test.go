package sysbox

import (
	"bytes"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// The files are an image's. What is written back fits, and is not much larger than
// what was there.
func FuzzFitSubIDs(f *testing.F) {
	for _, text := range []string{"user:100000:65536\n", "user:1:999\nuser:1001:64535\n", "1000:100000:65536", "::\nx:0:99999999999999999999\n", "a:9:65536\na:9:65536\n"} {
		f.Add([]byte(text), []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/:/bin/sh\n"))
	}
	f.Fuzz(func(t *testing.T, text, passwd []byte) {
		defer heap.Bounded(t)()
		const size = 65536
		ids := UserIDs(passwd, 2)
		fitted, changed := FitSubIDs(text, ids, size)
		if !changed {
			if !bytes.Equal(text, fitted) {
				t.Errorf("%q became %q", text, fitted)
			}
			return
		}
		if len(fitted) > 4*len(text)+32 {
			t.Errorf("%d bytes of %d", len(fitted), len(text))
		}
		for line := range strings.Lines(string(fitted)) {
			if _, first, count, ok := subIDs(line); ok && first+count > size {
				t.Errorf("%q does not fit", line)
			}
		}
		if again, changed := FitSubIDs(fitted, ids, size); changed {
			t.Errorf("%q does not fit yet, but %q", fitted, again)
		}
	})
}
