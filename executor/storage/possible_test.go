package storage

import (
	"testing"
)

// Values that a job container reported about its volume are limited to possible values, also
// when they are read from a file, because an older version may have written other values.
func TestHostileVolumeState(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ written, want State }{
		"the truth":           {State{Claim: Claim{Limit: 100, Used: 5}, Hard: true, Peak: 7, Base: 3}, State{Claim: Claim{Limit: 100, Used: 5}, Hard: true, Peak: 7, Base: 3}},
		"less than nothing":   {State{Claim: Claim{Limit: 100, Used: -1e18}, Hard: true, Peak: -1, Base: -1}, State{Claim: Claim{Limit: 100}, Hard: true}},
		"more than there is":  {State{Claim: Claim{Limit: 100, Used: 9e18}, Hard: true, Peak: 9e18, Base: 101}, State{Claim: Claim{Limit: 100, Used: 100}, Hard: true, Peak: 100, Base: 100}},
		"no limit":            {State{Claim: Claim{Limit: -5, Used: 9e18}, Peak: 9e18}, State{}},
		"a folder of no disk": {State{Claim: Claim{Limit: 100, Used: 500}}, State{Claim: Claim{Limit: 100, Used: 100}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.written.Write(dir); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadState(dir); err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	// A folder on the engine's disk has no limit of its own, but the disk has one.
	disk, err := DiskPool(dir)
	if err != nil {
		t.Fatal(err)
	}
	for used, want := range map[int64]int64{5000: 5000, 9e18: disk.Size} {
		if err := (State{Claim: Claim{Limit: 100, Used: used, Mountpoint: dir}}).Write(dir); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadState(dir); err != nil || got.Used != want {
			t.Errorf("got %+v, %v, want %d used", got, err, want)
		}
	}
}
