package heap

import (
	"testing"
	"time"
)

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

var kept []byte

func TestBounded(t *testing.T) {
	for size, want := range map[int]bool{1 << 10: false, Most / 2: false, Most + 1: true} {
		r := &recorder{TB: t}
		done := Bounded(r)
		kept = make([]byte, size)
		done()
		if r.failed != want {
			t.Errorf("%d bytes: failed is %t", size, r.failed)
		}
	}
	kept = nil

	r := &recorder{TB: t}
	done := Bounded(r)
	for range Most/100 + 10_000 { // small ones, and no longer used
		kept = make([]byte, 100)
	}
	done()
	if !r.failed {
		t.Error("many small objects do not count")
	}
}

func TestPeak(t *testing.T) {
	const size = 32 << 20
	most := Peak(func() {
		kept = make([]byte, size)
		time.Sleep(100 * time.Millisecond)
	})
	if kept = nil; most < size || most > 2*size {
		t.Errorf("%d bytes", most)
	}
}

func BenchmarkBounded(b *testing.B) {
	for b.Loop() {
		Bounded(b)()
	}
}
