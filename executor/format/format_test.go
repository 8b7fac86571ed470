package format

import "testing"

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1000: "1000B", 3 << 19: "1.5MiB", 20 << 30: "20GiB"} {
		if got := Bytes(n); got != want || Bytes(float64(n)) != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}
