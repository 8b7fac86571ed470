package known

import (
	"io"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// A tool in the image prints what it likes when it is asked for its version, and so
// does a script.
func FuzzSaid(f *testing.F) {
	for _, text := range []string{
		"runc version 1.1.12\ncommit: x\nspec: 1.0.2-dev", "crun version 1.14", "buildah version 1.28.2 (image-spec 1.1.0)", "1.\x1b.2", "version " + strings.Repeat("1.", 300),
		"dd: No space left on device\n", "error mounting \"proc\" to rootfs at \"/proc\"", "\x1b[32;1m$ echo no space left on device\x1b[0;m\n", "\xff\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		checkNumber(t, string(text))
		checkExplain(t, text)
	})
}

func checkNumber(t *testing.T, printed string) {
	n := Number(printed)
	if !strings.Contains(printed, n) || strings.ContainsAny(n, "\n\x1b \x00") {
		t.Errorf("%q", n)
	}
	if n != "" && Number(n) != n {
		t.Errorf("%q is another number than its own: %q", n, Number(n))
	}
	Hits(map[string]string{"runc": n, Sysbox: n, "buildah": printed})
}

func checkExplain(t *testing.T, text []byte) {
	tail := NewTail(io.Discard)
	for range 2 {
		if n, err := tail.Write(text); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(tail.kept) > 2*tailSize {
		t.Errorf("%d bytes are kept", len(tail.kept))
	}
	if found, ok := tail.Explain(); ok && found.Meaning == "" {
		t.Error("it means nothing")
	}
}
