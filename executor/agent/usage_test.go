package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
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

// A level is logged once, when it is passed, and what the disk had before the script is
// not. The last look is after the end.
func TestWatch(t *testing.T) {
	const size = 100 << 30
	for name, tc := range map[string]struct {
		watch Watch
		free  []int64 // at each look; -1: the folder is not there
		log   []string
		want  Usage
	}{
		"no volume, and no TMPDIR": {watch: Watch{TMPDIR: "/missing"}, free: []int64{-1, -1}},
		"much is free":             {watch: Watch{Volume: "/v", Hard: true}, free: []int64{90 << 30, 80 << 30}, want: Usage{Used: 20 << 30, Peak: 20 << 30}},
		"something was removed":    {watch: Watch{Volume: "/v", Hard: true}, free: []int64{50 << 30, 60 << 30}, want: Usage{Used: 40 << 30, Peak: 50 << 30}},
		"80 percent":               {watch: Watch{Volume: "/v", Hard: true}, free: []int64{90 << 30, 15 << 30}, log: []string{"storage volume is 80 % full: 15GiB of 100GiB are free"}, want: Usage{Used: 85 << 30, Peak: 85 << 30}},
		"95 percent at once":       {watch: Watch{Volume: "/v", Hard: true}, free: []int64{90 << 30, 4 << 30}, log: []string{"storage volume is 95 % full"}, want: Usage{Used: 96 << 30, Peak: 96 << 30}},
		"it was so before":         {watch: Watch{Volume: "/v", Hard: true}, free: []int64{15 << 30, 14 << 30}, want: Usage{Used: 86 << 30, Peak: 86 << 30}},
		"full":                     {watch: Watch{Volume: "/v", Hard: true}, free: []int64{90 << 30, 0}, log: []string{"95 % full: 0B"}, want: Usage{Used: size, Peak: size, Full: []string{"/v"}}},
		"the disk of TMPDIR":       {watch: Watch{TMPDIR: "/tmp/x"}, free: []int64{90 << 30, 0}, log: []string{"holds the job's TMPDIR /tmp/x is 95 % full"}, want: Usage{Full: []string{"/tmp/x"}}},
		"a volume without a limit": {watch: Watch{Volume: "/v"}, free: []int64{0, 0}},
		"it was removed meanwhile": {watch: Watch{TMPDIR: "/tmp/x"}, free: []int64{90 << 30, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			ended := false
			ask := func(string) (space, error) {
				mu.Lock()
				defer mu.Unlock()
				free := tc.free[0]
				if ended {
					free = tc.free[1]
				}
				if free < 0 {
					return space{}, os.ErrNotExist
				}
				return space{size: size, used: size - free, free: free}, nil
			}
			var out bytes.Buffer
			end := tc.watch.startAsking(&out, ask)
			mu.Lock()
			ended = true
			mu.Unlock()
			if u := *end(); !reflect.DeepEqual(u, tc.want) {
				t.Errorf("%+v, want %+v", u, tc.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines != len(tc.log) {
				t.Errorf("%d lines:\n%s", lines, out.String())
			}
			for _, line := range tc.log {
				if !strings.Contains(out.String(), line) {
					t.Errorf("no %q in\n%s", line, out.String())
				}
			}
		})
	}
}

// A job's root can unmount the storage volume. The space of what is below it is not the volume's.
func TestHostileUnmountedVolume(t *testing.T) {
	var out strings.Builder
	u := Watch{Volume: t.TempDir(), Hard: true}.start(&out)()
	if u.Used != 0 || u.Peak != 0 || len(u.Full) > 0 || out.Len() > 0 {
		t.Errorf("%+v %q", u, out.String())
	}
}
