package kept

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

const jobName = "gsx-00000000-p1-j1"

func newDisks(t *testing.T) Disks {
	t.Helper()
	dir := t.TempDir()
	return Disks{State: statedir.Dir(dir), Folder: filepath.Join(dir, "volumes")}
}

func diskOf(project int64, protected bool, slot int64) job.Disk {
	return job.Disk{Server: "gitlab.example.com", Project: project, Protected: protected, Runner: 3, Slot: slot, Limit: 1 << 30, Driver: "vfs"}
}

// take takes a disk for a job, with text as its content if it is new.
func take(t *testing.T, d Disks, name string, want job.Disk, text string) (job.Disk, string) {
	t.Helper()
	got, why, err := d.Take(t.Context(), name, want)
	if err != nil {
		t.Fatal(err)
	}
	if got.New() {
		if err := os.WriteFile(d.Image(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return got, why
}

// use is a whole job: it takes a disk, writes to it, and gives it back.
func use(t *testing.T, d Disks, name string, want job.Disk, text string) {
	t.Helper()
	got, _ := take(t, d, name, want, text)
	if err := d.Begin(name); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Finish(name, got), d.Close(name)); err != nil {
		t.Fatal(err)
	}
	end(t, d, name, true)
}

// end ends a job, and wants the disk to be kept or not.
func end(t *testing.T, d Disks, name string, want bool) {
	t.Helper()
	whole, _ := d.Whole(name)
	if whole != want {
		t.Fatalf("whole: %t", whole)
	}
	if whole {
		if err := d.Return(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Drop(name); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, d Disks, name string) string {
	t.Helper()
	text, err := os.ReadFile(d.Image(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func listed(t *testing.T, d Disks) []Volume {
	t.Helper()
	all, err := d.list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiskIsKept(t *testing.T) {
	d := newDisks(t)
	use(t, d, jobName, diskOf(1, false, 0), "first")
	if all := listed(t, d); len(all) != 1 || all[0].Project != 1 || all[0].Kind != Storage || time.Since(all[0].LastUse) > time.Minute {
		t.Fatalf("%+v", all)
	}
	got, why := take(t, d, "gsx-00000000-p1-j2", diskOf(1, false, 0), "second")
	if got.New() || why != "" || content(t, d, "gsx-00000000-p1-j2") != "first" {
		t.Errorf("%+v %s", got, why)
	}
	if all := listed(t, d); len(all) != 0 {
		t.Errorf("it is still there for others: %+v", all)
	}
}

// A disk is whole before a process of the job starts, and after the job's last script.
func TestDiskIsWhole(t *testing.T) {
	d := newDisks(t)
	take(t, d, jobName, diskOf(1, false, 0), "x")
	end(t, d, jobName, false) // new, and not finished

	use(t, d, jobName, diskOf(1, false, 0), "first")
	take(t, d, jobName, diskOf(1, false, 0), "")
	end(t, d, jobName, true) // prepare failed before a process started

	take(t, d, jobName, diskOf(1, false, 0), "")
	if err := d.Begin(jobName); err != nil {
		t.Fatal(err)
	}
	end(t, d, jobName, false)

	got, _ := take(t, d, jobName, diskOf(1, false, 0), "x")
	if err := d.Finish(jobName, got); err != nil {
		t.Fatal(err)
	}
	if whole, open := d.Whole(jobName); whole || !open {
		t.Errorf("whole: %t, open: %t", whole, open)
	}
	end(t, d, jobName, false) // its container was not stopped
	if all := listed(t, d); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	if left, _ := filepath.Glob(filepath.Join(d.Folder, "*", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestHostileDisksAreApart(t *testing.T) {
	for name, other := range map[string]job.Disk{
		"another project":                     diskOf(2, false, 0),
		"a project whose ID begins like this": diskOf(11, false, 0),
		"a protected ref":                     diskOf(1, true, 0),
		"another server":                      func() job.Disk { o := diskOf(1, false, 0); o.Server = "other.example.com"; return o }(),
	} {
		d := newDisks(t)
		use(t, d, jobName, diskOf(1, false, 0), "first")
		if got, _ := take(t, d, "gsx-00000000-p1-j2", other, "second"); !got.New() || content(t, d, "gsx-00000000-p1-j2") != "second" {
			t.Errorf("%s: %+v", name, got)
		}
		if len(listed(t, d)) != 1 {
			t.Errorf("%s: the disk is gone", name)
		}
	}
	d := newDisks(t)
	use(t, d, jobName, diskOf(1, true, 0), "first")
	if got, _ := take(t, d, "gsx-00000000-p1-j2", diskOf(1, false, 0), "second"); !got.New() {
		t.Errorf("an unprotected job got %+v", got)
	}
}

// Another slot's disk serves while its own job does not run.
func TestDiskOfAnotherSlot(t *testing.T) {
	d := newDisks(t)
	take(t, d, jobName, diskOf(1, false, 0), "older")
	take(t, d, "gsx-00000000-p1-j2", diskOf(1, false, 1), "newer")
	for n, name := range []string{jobName, "gsx-00000000-p1-j2"} {
		if err := errors.Join(d.Finish(name, diskOf(1, false, int64(n))), d.Close(name)); err != nil {
			t.Fatal(err)
		}
		end(t, d, name, true)
	}
	take(t, d, "gsx-00000000-p1-j3", diskOf(1, false, 5), "")
	if content(t, d, "gsx-00000000-p1-j3") != "newer" {
		t.Error("not the one that was used last")
	}
	take(t, d, "gsx-00000000-p1-j4", diskOf(1, false, 0), "")
	if content(t, d, "gsx-00000000-p1-j4") != "older" {
		t.Error("not its own")
	}
	if got, _ := take(t, d, "gsx-00000000-p1-j5", diskOf(1, false, 1), "x"); !got.New() {
		t.Errorf("%+v", got)
	}
}

func TestDiskDoesNotFit(t *testing.T) {
	changed := func(change func(*job.Disk)) job.Disk {
		d := diskOf(1, false, 0)
		change(&d)
		return d
	}
	for name, c := range map[string]struct {
		want job.Disk
		why  string
	}{
		"another driver":     {changed(func(d *job.Disk) { d.Driver = "overlay" }), "storage driver vfs"},
		"a smaller size":     {changed(func(d *job.Disk) { d.Limit /= 2 }), "more than this job may use"},
		"other base images":  {changed(func(d *job.Disk) { d.Generation = "g2" }), "shared images"},
		"a larger size fits": {changed(func(d *job.Disk) { d.Limit *= 2 }), ""},
	} {
		d := newDisks(t)
		use(t, d, jobName, diskOf(1, false, 0), "first")
		got, why := take(t, d, "gsx-00000000-p1-j2", c.want, "second")
		if got.New() != (c.why != "") || !strings.Contains(why, c.why) || got.Limit != c.want.Limit {
			t.Errorf("%s: %+v %q", name, got, why)
		}
		if len(listed(t, d)) > 0 {
			t.Errorf("%s: it is still kept", name)
		}
	}
}

// After a restart of the machine, only a disk that was flushed before is known to be whole.
func TestDiskAfterARestart(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		d := newDisks(t)
		use(t, d, jobName, diskOf(1, false, 0), "first")
		if flushed {
			if err := d.tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		folder := listed(t, d)[0].Path
		f, err := readFacts(folder)
		if err != nil || f.Flushed != flushed {
			t.Fatalf("%+v, %v", f, err)
		}
		f.Boot = "another"
		if err := f.write(folder); err != nil {
			t.Fatal(err)
		}
		got, why := take(t, d, "gsx-00000000-p1-j2", diskOf(1, false, 0), "second")
		if got.New() == flushed || (why == "") != flushed {
			t.Errorf("flushed %t: %+v %q", flushed, got, why)
		}
	}
}

// A disk that a job had when the machine crashed is not whole, whatever its description says.
func TestTakenDiskAfterARestart(t *testing.T) {
	d := newDisks(t)
	use(t, d, jobName, diskOf(1, false, 0), "first")
	take(t, d, jobName, diskOf(1, false, 0), "")
	f, err := readFacts(d.Taken(jobName))
	if err != nil || f.Flushed {
		t.Fatalf("%+v, %v", f, err)
	}
	f.Boot, f.Flushed = "another", true
	if err := f.write(d.Taken(jobName)); err != nil {
		t.Fatal(err)
	}
	end(t, d, jobName, false)
}

func TestDescriptionOfADisk(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"server":"x"}`, strings.Repeat("x", longestNote+1)} {
		d := newDisks(t)
		use(t, d, jobName, diskOf(1, false, 0), "first")
		v := listed(t, d)[0]
		if err := os.WriteFile(filepath.Join(v.Path, diskFacts), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all := listed(t, d); len(all) != 1 {
			t.Errorf("%.10q: %+v", text, all)
		}
		if got, why := take(t, d, "gsx-00000000-p1-j2", diskOf(1, false, 0), "second"); !got.New() || why == "" {
			t.Errorf("%.10q: %+v %q", text, got, why)
		}
	}
}

func TestCollectDisks(t *testing.T) {
	d := newDisks(t)
	use(t, d, jobName, diskOf(1, false, 0), "first")
	v := listed(t, d)[0]
	older := v
	older.LastUse = v.LastUse.Add(-time.Second)
	if gone, err := d.drop(t.Context(), older); gone || err != nil {
		t.Errorf("used since it was listed: %t, %v", gone, err)
	}
	if gone, err := d.drop(t.Context(), v); !gone || err != nil || len(listed(t, d)) > 0 {
		t.Errorf("%t, %v", gone, err)
	}
	if gone, err := d.drop(t.Context(), v); gone || err != nil {
		t.Errorf("gone before: %t, %v", gone, err)
	}
	// A removal that was killed.
	old := filepath.Join(d.Folder, "gone", "disk-1")
	if err := os.MkdirAll(filepath.Join(old, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Error("a removal in progress is disturbed")
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	if err := d.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// Only one of many jobs gets a disk, and gc never takes it from under one.
func TestDiskHasOneUser(t *testing.T) {
	d := newDisks(t)
	use(t, d, jobName, diskOf(1, false, 0), "first")
	v := listed(t, d)[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for n := range 8 {
		wg.Go(func() {
			name := job.Identity{ProjectID: 1, JobID: int64(n + 2)}.Name()
			disk, _, err := d.Take(t.Context(), name, diskOf(1, false, int64(n)))
			if err != nil {
				t.Error(err)
			}
			if !disk.New() {
				mu.Lock()
				got++
				mu.Unlock()
			}
		})
	}
	var removed bool
	wg.Go(func() { removed, _ = d.drop(t.Context(), v) })
	wg.Wait()
	if got > 1 || removed == (got == 1) {
		t.Errorf("%d jobs, removed %t", got, removed)
	}
}
