package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSpaceLevels(t *testing.T) {
	for _, tc := range []struct {
		size, free int64
		level      int
		full       bool
	}{
		{0, 0, 0, true}, {100 << 30, 100 << 30, 0, false}, {100 << 30, 21 << 30, 0, false},
		{100 << 30, 20 << 30, 80, false}, {100 << 30, 5 << 30, 95, false}, {100 << 30, 1 << 20, 95, true},
	} {
		s := space{size: tc.size, free: tc.free}
		if s.level() != tc.level || s.full() != tc.full {
			t.Errorf("%+v: level %d, full %t", tc, s.level(), s.full())
		}
	}
}

func TestFilesBelowCountsLinksOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	sum, ok := filesBelow(dir, time.Now().Add(time.Minute))
	if !ok || sum < 1<<20 || sum > 1<<20+64<<10 {
		t.Error(sum, ok)
	}
	if _, ok := filesBelow(dir, time.Now().Add(-time.Minute)); ok {
		t.Error("past its deadline the sum is taken for whole")
	}
}

func TestWatchWithoutAVolume(t *testing.T) {
	var out bytes.Buffer
	u := Watch{TMPDIR: filepath.Join(t.TempDir(), "missing")}.start(&out)()
	if u == nil || out.Len() > 0 || len(u.Full) > 0 {
		t.Error(u, out.String())
	}
}
