package app

import (
	"strings"
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	now := time.Now()
	one := map[string]transfer{"debian:12": {done: 50 << 20, total: 100 << 20, began: now.Add(-10 * time.Second)}}
	unpacking := map[string]transfer{"a\x1b[2J": {unpacking: true, done: 1, total: 4, began: now}}
	two := map[string]transfer{"a": {done: 1000, total: 1000, began: now}, "b": {total: 3000, began: now}}
	for name, c := range map[string]struct {
		images map[string]transfer
		width  int
		want   string
	}{
		"one":       {one, 200, "Pulling debian:12 [####################....................]  50% of 105MB, 5.24MB/s"},
		"narrow":    {one, 60, "Pulling debian:12 [#######........]  50% of 105MB, 5.24MB/s"},
		"narrower":  {one, 45, "Pulling [#####.....]  50% of 105MB, 5.24MB/s"},
		"too small": {one, 20, "50% of 105MB, 5.24M"},
		"unpacking": {unpacking, 60, `Unpacking a\x1b[2J [######.....................]  25% of 4B`},
		"two":       {two, 60, "Pulling 2 images [#######.....................]  25% of 4kB"},
		"nothing":   {map[string]transfer{"a": {began: now}}, 60, "Pulling a [....................................]   0% of 0B"},
	} {
		b := bar{images: c.images}
		got := b.line(now, c.width)
		if strings.TrimRight(got, " ") != c.want || len(got) >= c.width {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Lines of the log stay whole, and nothing of the bar stays.
func TestBarBesideTheLog(t *testing.T) {
	var out strings.Builder
	b := &bar{to: &out, width: func() int { return 40 }}
	log := NewLog(b, "info")
	log.Info("before")
	b.Show("a", false, 1, 2)
	log.Info("beside")
	b.Hide("a")
	log.Info("after")
	const shown = "\rPulling a [########........]  50% of 2B\x1b[K"
	if want := "before\n" + shown + "\r\x1b[Kbeside\n" + shown + "\r\x1b[Kafter\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
