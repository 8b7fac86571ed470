package logline

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gitlab-sysbox-executor/integration/heap"
)

// Lines of a container's log have limited length.
func FuzzLogLines(f *testing.F) {
	const stamp = "2026-03-01T12:00:00.123456789Z "
	for _, text := range []string{stamp + "a line\n" + stamp + "another\r\n", stamp, "no time\n", "\n\n" + stamp + "\x1b[1m\x00", stamp + strings.Repeat("x", 40<<10) + "\n" + stamp + "y\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		read := func(whole bool) (all []string) {
			var r = iotest.HalfReader(bytes.NewReader(text))
			if whole {
				r = bytes.NewReader(text)
			}
			if err := Each(r, func(at time.Time, line string) {
				if len(line) > Longest || strings.Contains(line, "\n") || at.IsZero() && !bytes.Contains(text, []byte("0001-01-01")) {
					t.Errorf("%s %.100q", at, line)
				}
				all = append(all, at.String()+line)
			}); err != nil {
				t.Error(err)
			}
			return all
		}
		if a, b := read(true), read(false); strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("%.200q, %.200q", a, b)
		}
	})
}
