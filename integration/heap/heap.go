// Package heap bounds the memory of what a test calls.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
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

// Peak is how many bytes of the heap what f does takes at the most, looked at every
// millisecond. It counts the whole process.
func Peak(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for most := uint64(0); ; {
		select {
		case <-done:
			return most
		case <-time.After(time.Millisecond):
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
	}
}
