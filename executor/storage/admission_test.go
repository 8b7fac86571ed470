package storage

import (
	"errors"
	"math"
	"strings"
	"testing"
)

const gib = 1 << 30

func TestAdmit(t *testing.T) {
	disk := Pool{ID: "disk 1", Name: "/srv", Free: 100 * gib}
	for _, tc := range []struct {
		name       string
		minFree    int64
		overcommit float64
		running    []Claim
		size       int64
		refused    string
	}{
		{"an empty host", 2 * gib, 1, nil, 20 * gib, ""},
		{"to the last byte", 0, 1, nil, 100 * gib, ""},
		{"more than there is", 0, 1, nil, 100*gib + 1, "100GiB free in /srv, less 0B that 0 running jobs may still take and 100GiB for this one"},
		{"min_free", 90 * gib, 1, nil, 20 * gib, "is less than min_free 90GiB"},
		{"running jobs", 0, 1, []Claim{{Pool: "disk 1", Limit: 50 * gib}, {Pool: "disk 1", Limit: 40 * gib}}, 20 * gib, "less 90GiB that 2 running jobs may still take"},
		{"a lie that much is used", 0, 1, []Claim{{Pool: "disk 1", Limit: 90 * gib, Used: 80 * gib}}, 20 * gib, "less 90GiB that 1 running jobs may still take"},
		{"a lie that less than nothing is used", 0, 1, []Claim{{Pool: "disk 1", Limit: 10 * gib, Used: -1e18}}, 90 * gib, ""},
		{"what another process wrote down is no number of bytes", 0, 1, []Claim{{Pool: "disk 1", Limit: math.MinInt64, Used: math.MaxInt64}}, 100 * gib, ""},
		{"more is promised than a number holds", 0, 1, []Claim{{Pool: "disk 1", Limit: math.MaxInt64}, {Pool: "disk 1", Limit: math.MaxInt64}}, math.MaxInt64, "that 2 running jobs may still take"},
		{"another pool", 0, 1, []Claim{{Pool: "memory", Limit: 90 * gib}}, 90 * gib, ""},
		{"overcommit", 0, 2, []Claim{{Pool: "disk 1", Limit: 100 * gib}}, 100 * gib, ""},
		{"beyond overcommit", 1, 2, []Claim{{Pool: "disk 1", Limit: 100 * gib}}, 100 * gib, "overcommit 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Admission{Pool: disk, MinFree: tc.minFree, Overcommit: tc.overcommit, Running: tc.running}.Admit("the volume", tc.size)
			if tc.refused == "" && err != nil || tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("got %v, want %q", err, tc.refused)
			}
			if no, ok := errors.AsType[*NoRoom](err); err != nil && (!ok || no.Pool != disk) {
				t.Errorf("got %#v", err)
			}
		})
	}
}

// Data outside a volume counts only the free space. A disk without free inodes is full, too.
func TestAdmitOther(t *testing.T) {
	for name, tc := range map[string]struct {
		pool    Pool
		refused string
	}{
		"enough":                  {Pool{Free: 2 * gib, FreeInodes: 51, Inodes: 1000}, ""},
		"too little":              {Pool{Name: "/srv", Free: 2*gib - 1, FreeInodes: 500, Inodes: 1000}, "no room for logs: 2GiB free in /srv, less 0B that 0 running jobs may still take, is less than min_free 2GiB; wait for other jobs, make room, or lower storage.min_free"},
		"hardly an inode":         {Pool{Name: "/srv", Free: 9 * gib, FreeInodes: 49, Inodes: 1000}, "no room for logs: 49 of 1000 inodes are free in /srv, less than 5%; remove small files there"},
		"a disk without a limit":  {Pool{Free: 2 * gib}, ""},
		"room, and not one inode": {Pool{Name: "/srv", Free: 9 * gib, Inodes: 1000}, "no room for logs: 0 of 1000 inodes"},
	} {
		err := Admission{Pool: tc.pool, MinFree: 2 * gib, Overcommit: 10}.Admit("logs", 0)
		if tc.refused == "" && err != nil || tc.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.refused)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.refused)
		}
		if tc.pool.Low(2*gib) != (tc.refused != "") {
			t.Errorf("%s: low %v", name, tc.pool.Low(2*gib))
		}
	}
}

func TestUsedBelowNeedsAMount(t *testing.T) {
	if _, ok := usedBelow(t.TempDir()); ok {
		t.Error("a folder counts as a file system of its own")
	}
	if used, ok := usedBelow("/proc"); !ok || used != 0 {
		t.Error(used, ok)
	}
}
