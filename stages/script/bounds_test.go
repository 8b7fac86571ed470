package script

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// pieces are made to be slow or large to read when they are repeated.
var pieces = []string{
	"((", "$(", "`", "{\n", "a|", "a&&", "!\n", "<(", "${a:-", "$((-", "x=(", "f()", "[[ (", "if a\nthen\n", "case a in a) ", "time ", "<<E\n", "\\", "'", "\"", "$'", "'\\''", "\n", "#",
	"echo $'\\x1b[32;1m$ a # collapsed multi-line command\\x1b[0;m'\n", "printf '%b\\n' section_start:", "echo $'\\x1b[32;1m$ ", "export A=it's\n", "mkdir -p \"", "mkdir -p \"a\"\ntouch \"b\"\n", "while read -r line; do export \"$line\"; done < \"",
}

// values opens quotes in one value and ends them in another, so that the shell and
// the parser read a part of that as syntax.
func values(syntax string) []Variable { return []Variable{{"A", "it's"}, {"B", "'|" + syntax}} }

// TestPreludeIsBounded: no value makes it take much memory, or end the process
// with an overflow of its stack.
func TestPreludeIsBounded(t *testing.T) {
	const size, most = 672_000, 64 << 20
	for _, piece := range pieces {
		body := writer{posix: true, noEnv: true, dir: "/p", vars: values(strings.Repeat(piece, size/len(piece)))}.body()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := findPrelude(body)
		runtime.ReadMemStats(&after)
		if n := int64(after.TotalAlloc-before.TotalAlloc) + int64(after.StackSys) - int64(before.StackSys); n > most {
			t.Errorf("%q: %d MiB of memory (%v)", piece, n>>20, err)
		}
	}
}

// BenchmarkAdaptHostile has the same speed for either size.
func BenchmarkAdaptHostile(b *testing.B) {
	for _, size := range []int{168_000, 672_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var texts [][]byte
			total := 0
			for _, piece := range pieces {
				long := strings.Repeat(piece, size/len(piece))
				for _, w := range []writer{
					{posix: true, noEnv: true, dir: "/p", vars: values(long)},
					{dir: "/p", vars: values(long), commands: []string{"a\n" + long}},
				} {
					texts = append(texts, w.script())
					total += len(texts[len(texts)-1])
				}
			}
			b.SetBytes(int64(total))
			for b.Loop() {
				for _, text := range texts {
					_, _ = Adapt(text, Adaptation{Set: enforced.Set, POSIX: true})
				}
			}
		})
	}
}
