// Package heap bounds the memory of what a test calls.
package heap

import (
	"runtime/metrics"
	"testing"
)

// Most is how many bytes one text that comes from a container or a payload may make
// the driver allocate, those included that it no longer uses. A driver's process may
// take 100 MB.
const Most = 64 << 20

// Bounded fails the test when more than Most bytes are allocated until done is called.
// It counts the whole process: nothing else may run beside it.
func Bounded(t testing.TB) (done func()) {
	before := allocated()
	return func() {
		if n := allocated() - before; n > Most {
			t.Errorf("%d bytes were allocated, more than %d", n, Most)
		}
	}
}

// allocated is how many bytes this process has allocated so far. Small objects are
// counted some hundred KiB late.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
